#include "model/plan.h"

#include <cmath>

#include "base/errors.h"

namespace nextoken {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text;
}

const quant::TypeInfo& info_of(int32_t type, const TensorSource& source) {
  try {
    return quant::type_info((WeightType)type);
  } catch (const UnsupportedError& e) {
    throw UnsupportedError("tensor '" + source.name + "': " + e.what());
  }
}

void require_shape(const TensorSource& source, std::vector<int64_t> expected) {
  std::vector<int64_t> actual = source.shape;
  while (actual.size() > expected.size() && actual.back() == 1) actual.pop_back();
  while (expected.size() > actual.size() && expected.back() == 1) expected.pop_back();
  if (actual != expected) {
    throw FormatError("tensor '" + source.name + "' is " + shape_text(source.shape) +
                          ", the hyper-parameters ask for " + shape_text(expected),
                      source.name, source.offset);
  }
}

/// That a tensor, or the scales of one, takes as many bytes as it should, in the file.
void require_bytes(const std::string& name, int64_t offset, int64_t nbytes, int64_t expected, int64_t size) {
  if (nbytes != expected || offset < 0 || offset > size - expected) {
    throw TruncatedError("tensor '" + name + "' at byte " + std::to_string(offset) + " needs " +
                             std::to_string(expected) + " bytes of a file of " + std::to_string(size),
                         name, offset, offset + expected, size);
  }
}

/// A vector, or one that a file keeps as the rows of a matrix.
void require_length(const TensorSource& source, int64_t n) {
  if (source.shape.size() == 2 && source.shape[0] >= 1 && source.shape[1] >= 1 && n % source.shape[0] == 0 &&
      n / source.shape[0] == source.shape[1]) {
    return;
  }
  require_shape(source, {n});
}

void require_whole_blocks(const TensorSource& source, int64_t k, const quant::TypeInfo& info) {
  if (k % info.block_size == 0) return;
  throw FormatError("tensor '" + source.name + "': rows of " + std::to_string(k) + " elements are no whole blocks of " +
                        info.name + ", which have " + std::to_string(info.block_size),
                    source.name, source.offset);
}

void require_row_order(const TensorSource& source, int64_t n_rows) {
  if (source.halved_heads < 0 || (source.halved_heads > 0 && n_rows % (2 * source.halved_heads) != 0)) {
    throw FormatError("tensor '" + source.name + "': " + std::to_string(n_rows) + " rows are no " +
                          std::to_string(source.halved_heads) + " heads of two halves",
                      source.name, source.offset);
  }
  if (source.file_rows != 0) {
    constexpr int64_t MOST = int64_t{1} << 31;
    if (source.file_rows < 0 || source.file_rows > MOST || source.first_row < 0 || source.row_step < 1 ||
        source.row_step > MOST || n_rows > MOST || source.first_row > source.file_rows ||
        source.first_row + (n_rows - 1) * source.row_step >= source.file_rows) {
      throw FormatError("tensor '" + source.name + "': " + std::to_string(n_rows) + " rows are no part of " +
                            std::to_string(source.file_rows),
                        source.name, source.offset);
    }
  }
  const int64_t groups = source.qkv_groups, d = source.head_dim;
  if (groups == 0) return;
  if (groups < 0 || d < 1 || n_rows % groups != 0 || n_rows / groups % d != 0 || n_rows / groups / d < 3) {
    throw FormatError("tensor '" + source.name + "': " + std::to_string(n_rows) + " rows are no " +
                          std::to_string(groups) + " groups of queries, a key and a value of " + std::to_string(d),
                      source.name, source.offset);
  }
}

} // namespace

void Plan::matrix(const std::string& role, int64_t n_rows, int64_t k, Matrix& m) {
  const TensorSource* source = find(role);
  if (!source) return;
  require_shape(*source, {k, n_rows});
  require_bytes(*source, add(*source, 0, n_rows, k, m));
  require_scales(*source, source->line(n_rows, k), source->n_lines(n_rows, k));
}

void Plan::stacked(const std::string& role, int64_t n_rows, int64_t k, const std::vector<Matrix*>& matrices) {
  const TensorSource* source = find(role);
  if (!source) return;
  const int64_t n = (int64_t)matrices.size();
  require_shape(*source, {k, n_rows, n});
  int64_t bytes = 0;
  for (int64_t i = 0; i < n; ++i) bytes = add(*source, i, n_rows, k, *matrices[(size_t)i]);
  require_bytes(*source, bytes * n);
  require_scales(*source, source->line(n_rows, k), source->n_lines(n_rows, k) * n);
}

void Plan::experts(const std::string& role, int64_t n_rows, int64_t k, std::vector<Expert>& experts,
                   Matrix Expert::* member) {
  if (has(role + ".0")) {
    for (size_t e = 0; e < experts.size(); ++e) matrix(role + "." + std::to_string(e), n_rows, k, experts[e].*member);
    return;
  }
  std::vector<Matrix*> matrices;
  for (Expert& expert : experts) matrices.push_back(&(expert.*member));
  stacked(role, n_rows, k, matrices);
}

void Plan::heads(const std::string& role, int64_t n, int64_t n_rows, int64_t k, std::vector<Matrix>& heads) {
  heads.resize((size_t)n);
  std::vector<Matrix*> matrices;
  for (Matrix& head : heads) matrices.push_back(&head);
  stacked(role, n_rows, k, matrices);
}

int64_t Plan::add(const TensorSource& source, int64_t index, int64_t n_rows, int64_t k, Matrix& m) {
  const quant::TypeInfo& in_file = info_of(source.type, source);
  const bool blocks_of_columns = source.transposed && in_file.block_size != 1;
  const quant::TypeInfo& info = blocks_of_columns ? quant::type_info(WeightType::f32) : in_file;
  const WeightType whole = info.type == quant::FILE_F64 ? WeightType::f32 : info.type;
  const WeightType kept = blocks_of_columns ? WeightType::f16 : whole; // where nobody asks for another
  const quant::TypeInfo& stored = source.stored_type < 0 ? quant::type_info(kept) : info_of(source.stored_type, source);
  if (stored.type != info.type && info.block_size != 1) {
    throw UnsupportedError("tensor '" + source.name + "' is quantised already, as " + info.name +
                           ": only floats are converted");
  }
  require_whole_blocks(source, k, info);
  require_whole_blocks(source, k, stored);
  require_row_order(source, n_rows);
  const int64_t file_rows = source.rows_in_file(n_rows), file_columns = source.columns_in_file(k);
  if (blocks_of_columns) require_whole_blocks(source, n_rows, in_file);
  if (file_columns < k || (file_columns > k && !source.transposed) || (blocks_of_columns && file_rows != n_rows)) {
    throw FormatError("tensor '" + source.name + "': its columns are no part of those in the file", source.name,
                      source.offset);
  }
  m.type = stored.type;
  m.form = stored.form;
  m.n_rows = n_rows;
  m.k = k;
  m.panel_bytes = quant::panel_bytes(stored.type, k);
  const int64_t row_bytes = k / info.block_size * info.block_bytes;
  const int64_t line = source.line(n_rows, k), n_lines = source.n_lines(n_rows, k);
  int64_t line_bytes = line / in_file.block_size * in_file.block_bytes;
  if (source.scales.codes != Codes::none) line_bytes = source.scales.codes == Codes::mxfp4 ? line / 2 : line;
  const int64_t bytes = n_lines * line_bytes;
  matrices.push_back({&m, &source, source.offset + index * bytes, info.type, row_bytes, storage_bytes, index});
  if (stored.type != info.type) fingerprint.add(reinterpret_cast<const uint8_t*>(stored.name), 4);
  storage_bytes += m.bytes();
  file_bytes += n_rows * row_bytes;
  return bytes;
}

void Plan::vector(const std::string& role, int64_t n, std::vector<float>& v, float least) {
  const TensorSource* source = find(role);
  if (!source) return;
  require_length(*source, n);
  const int64_t length = source->file_rows ? source->shape[0] : n; // of one vector, if several stand behind each other
  require_row_order(*source, length);
  const int64_t stored = n / length * source->rows_in_file(length);
  if (!source->values.empty()) {
    if ((int64_t)source->values.size() != n) throw FormatError("tensor '" + source->name + "' lacks values", role);
    v = source->values;
  } else {
    const quant::TypeInfo& info = info_of(source->type, *source);
    require_bytes(*source, (stored + info.block_size - 1) / info.block_size * info.block_bytes);
    std::vector<uint8_t> bytes((size_t)source->nbytes);
    file_of(*source).read(bytes.data(), bytes.size(), source->offset, source->name);
    v.resize((size_t)stored);
    quant::dequantize(info.type, bytes.data(), stored, v.data());
  }
  if (source->reorders()) {
    const std::vector<float> as_it_is = v;
    v.resize((size_t)n);
    for (int64_t i = 0; i < n; ++i) v[(size_t)i] = as_it_is[(size_t)source->stored_row(length, i)];
  }
  for (float& x : v) {
    if (source->plus != 0.0f) x += source->plus;
    if (!std::isfinite(x) && (check || least > -FLT_MAX)) {
      throw NumericalError("tensor '" + source->name + "' holds numbers that are not finite");
    }
    if (x < least) {
      throw FormatError(
          "tensor '" + source->name + "' holds " + std::to_string(x) + ", less than " + std::to_string(least),
          source->name, source->offset);
    }
  }
  fingerprint.add(reinterpret_cast<const uint8_t*>(v.data()), n * 4);
}

void Plan::norm(const Spec& spec, const std::string& role, int64_t n, Norm& norm) {
  norm.kind = spec.norm;
  norm.eps = (float)spec.norm_eps;
  vector(role, n, norm.weight);
  if (has(role + "_bias")) vector(role + "_bias", n, norm.bias);
}

void Plan::norms(const Spec& spec, const std::string& role, int64_t n, int64_t each, Norm& norm) {
  norm.kind = spec.norm;
  norm.eps = (float)spec.norm_eps;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<float> weight;
    vector(role + "." + std::to_string(i), each, weight);
    norm.weight.insert(norm.weight.end(), weight.begin(), weight.end());
  }
}

void Plan::biases(const std::vector<Bias>& parts, std::vector<float>& v) {
  bool any = false;
  for (const Bias& part : parts) any |= has(part.role);
  if (!any) return;
  for (const Bias& part : parts) {
    std::vector<float> values((size_t)part.n);
    if (has(part.role)) vector(part.role, part.n, values);
    v.insert(v.end(), values.begin(), values.end());
  }
}

void Plan::expert_biases(const std::string& role, int64_t n, std::vector<Expert>& experts,
                         std::vector<float> Expert::* member) {
  if (!has(role)) return;
  std::vector<float> all;
  vector(role, n * (int64_t)experts.size(), all);
  if (all.empty()) return;
  for (size_t e = 0; e < experts.size(); ++e) {
    const auto begin = all.begin() + (int64_t)e * n;
    (experts[e].*member).assign(begin, begin + n);
  }
}

void Plan::require_complete() const {
  if (missing_.empty()) return;
  std::string text = "the file lacks tensors this architecture needs: ";
  for (size_t i = 0; i < missing_.size() && i < 10; ++i) text += (i ? ", " : "") + missing_[i];
  if (missing_.size() > 10) text += " and " + std::to_string(missing_.size() - 10) + " more";
  throw FormatError(text, missing_[0]);
}

const TensorSource* Plan::find(const std::string& role) {
  const auto found = sources_.find(role);
  if (found == sources_.end()) {
    missing_.push_back(role);
    return nullptr;
  }
  const TensorSource& source = found->second;
  for (const int32_t file : {source.file, source.scales.file}) {
    if (file >= 0 && (size_t)file < files_.size()) continue;
    throw FormatError(
        "tensor '" + source.name + "' is in file " + std::to_string(file) + " of " + std::to_string(files_.size()),
        source.name);
  }
  return &source;
}

void Plan::require_scales(const TensorSource& source, int64_t line, int64_t n_lines) const {
  const Scales& s = source.scales;
  if (s.codes == Codes::none) return;
  constexpr int64_t MOST = int64_t{1} << 48;
  const auto sensible = [](int64_t n) { return n >= 1 && n <= MOST; };
  const WeightType type = (WeightType)s.type;
  const bool floats = type == WeightType::f32 || type == WeightType::f16 || type == WeightType::bf16;
  const bool exponents = s.type == Scales::E8M0;
  bool known = false;
  if (s.codes == Codes::mxfp4) {
    known = (WeightType)source.type == WeightType::mxfp4 && exponents && !source.transposed && s.block_rows == 1 &&
            s.block_columns == 32;
  } else if (s.codes == Codes::e4m3 || s.codes == Codes::e5m2) {
    known = (WeightType)source.type == WeightType::f32 && (floats || exponents);
  }
  if (!known || !sensible(s.block_rows) || !sensible(s.block_columns) || !sensible(s.matrix_lines) ||
      n_lines % s.matrix_lines != 0) {
    throw FormatError("tensor '" + source.name + "': its scales are of no kind that is known", source.name, s.offset);
  }
  const int64_t nbytes = n_lines / s.matrix_lines * s.grid_rows() * s.grid_columns(line) * s.element_bytes();
  nextoken::require_bytes(source.name, s.offset, s.nbytes, nbytes, file_of(s).size());
}

void Plan::require_bytes(const TensorSource& source, int64_t nbytes) const {
  nextoken::require_bytes(source.name, source.offset, source.nbytes, nbytes, file_of(source).size());
}

} // namespace nextoken
