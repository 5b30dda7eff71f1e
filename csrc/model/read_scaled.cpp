#include "model/read_scaled.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "quant/fp8.h"
#include "quant/pack.h"

namespace nextoken {
namespace {

using Table = std::array<float, 256>; // of a code

template <float DECODE(uint8_t)>
const Table& table() {
  static const Table result = [] {
    Table all{};
    for (int i = 0; i < 256; ++i) all[(size_t)i] = DECODE((uint8_t)i);
    return all;
  }();
  return result;
}

/// Parts of lines of the file as floats. Lines count through all matrices of the tensor.
class Lines {
 public:
  Lines(const Plan& plan, const TensorSource& source, int64_t line)
      : source_(source),
        codes_file_(plan.file_of(source)),
        scales_file_(plan.file_of(source.scales)),
        line_(line),
        decoded_(source.scales.codes == Codes::e5m2 ? table<quant::from_e5m2>() : table<quant::from_e4m3>()) {}

  /// Elements begin, begin + step, ... of a line, n of them.
  void read(int64_t line, int64_t begin, int64_t n, int64_t step, float* out) {
    codes_.resize((size_t)((n - 1) * step + 1));
    codes_file_.read(codes_.data(), codes_.size(), source_.offset + line * line_ + begin, source_.name);
    read_scales(source_.scales.grid_row(line));
    const int64_t block = source_.scales.block_columns;
    for (int64_t i = 0; i < n;) {
      const int64_t place = (begin + i * step) / block;
      const int64_t end = std::min(n, ((place + 1) * block - begin + step - 1) / step);
      const float scale = scales_[(size_t)place];
      for (; i < end; ++i) out[i] = decoded_[codes_[(size_t)(i * step)]] * scale;
    }
  }

 private:
  void read_scales(int64_t grid_row) {
    if (grid_row == grid_row_) return;
    const Scales& s = source_.scales;
    const int64_t n = s.grid_columns(line_), nbytes = n * s.element_bytes();
    bytes_.resize((size_t)nbytes);
    scales_.resize((size_t)n);
    scales_file_.read(bytes_.data(), bytes_.size(), s.offset + grid_row * nbytes, source_.name);
    if (s.type == Scales::E8M0) {
      for (int64_t i = 0; i < n; ++i) scales_[(size_t)i] = quant::from_e8m0(bytes_[(size_t)i]);
    } else {
      quant::dequantize((WeightType)s.type, bytes_.data(), n, scales_.data());
    }
    grid_row_ = grid_row;
  }

  const TensorSource& source_;
  const File& codes_file_;
  const File& scales_file_;
  const int64_t line_; // elements of one
  const Table& decoded_;
  int64_t grid_row_ = -1; // whose scales are here
  std::vector<uint8_t> codes_, bytes_;
  std::vector<float> scales_;
};

/// Blocks of 32: an exponent, and bytes that hold elements i and i + 16, where the folder's hold 2i and 2i + 1.
void read_mxfp4_row(const Plan& plan, const TensorSource& source, int64_t line, int64_t k, uint8_t* out) {
  const int64_t n = k / 32;
  std::vector<uint8_t> pairs((size_t)(n * 16)), exponents((size_t)n);
  plan.file_of(source).read(pairs.data(), pairs.size(), source.offset + line * n * 16, source.name);
  plan.file_of(source.scales).read(exponents.data(), exponents.size(), source.scales.offset + line * n, source.name);
  for (int64_t b = 0; b < n; ++b) {
    const uint8_t* const from = pairs.data() + b * 16;
    const auto code = [from](int i) { return from[i / 2] >> (i % 2 * 4) & 15; };
    *out++ = exponents[(size_t)b];
    for (int i = 0; i < 16; ++i) *out++ = (uint8_t)(code(i) | code(i + 16) << 4);
  }
}

} // namespace

void read_scaled_rows(const Plan& plan, const PlannedMatrix& planned, int64_t first, int64_t last, uint8_t* out) {
  const TensorSource& source = *planned.source;
  const int64_t n_rows = planned.matrix->n_rows, k = planned.matrix->k, n = last - first;
  const int64_t line = source.line(n_rows, k), before = planned.index * source.n_lines(n_rows, k);
  if (source.scales.codes == Codes::mxfp4) {
    for (int64_t r = 0; r < n; ++r) {
      read_mxfp4_row(plan, source, before + source.stored_row(n_rows, first + r), k, out + r * planned.row_bytes);
    }
    return;
  }
  Lines lines(plan, source, line);
  std::vector<float> floats((size_t)(source.transposed ? n : k));
  if (source.transposed) {
    const int64_t begin = source.first_row + first * source.row_step;
    for (int64_t c = 0; c < k; ++c) {
      lines.read(before + c, begin, n, source.row_step, floats.data());
      for (int64_t r = 0; r < n; ++r) std::memcpy(out + (r * k + c) * 4, &floats[(size_t)r], 4);
    }
    return;
  }
  for (int64_t r = 0; r < n; ++r) {
    lines.read(before + source.stored_row(n_rows, first + r), 0, k, 1, floats.data());
    std::memcpy(out + r * k * 4, floats.data(), (size_t)k * 4);
  }
}

} // namespace nextoken
