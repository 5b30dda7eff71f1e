#include "kernels/hidden.h"

#include <cstring>

namespace nextoken {
namespace {

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

} // namespace

Hidden::Hidden(int64_t max_rows, int64_t max_k, Memory* memory) : max_k_(round_up(max_k, 256)) {
  const char* what = "activations";
  const int64_t n = max_rows * max_k_;
  float_ = Buffer(memory, n * 4, what);
  bf16_ = Buffer(memory, n * 4, what);
  codes32_ = Buffer(memory, n, what);
  scale32_ = Buffer(memory, n / 32 * 4, what);
  scaled_sum32_ = Buffer(memory, n / 32 * 4, what);
  sum32_ = Buffer(memory, n / 32 * 4, what);
  codes256_ = Buffer(memory, n, what);
  scale256_ = Buffer(memory, n / 256 * 4, what);
  sum256_ = Buffer(memory, n / 16 * 4, what);
}

Rows<float> Hidden::reset(int64_t rows, int64_t k) {
  x_ = {float_.as<float>(), rows, k, max_k_};
  return x_;
}

Hidden::Q32Row Hidden::q32_row(int64_t row) const {
  const int64_t blocks = row * (max_k_ / 32);
  return {codes32_.as<int8_t>() + row * max_k_, scale32_.as<float>() + blocks, scaled_sum32_.as<float>() + blocks,
          sum32_.as<int32_t>() + blocks};
}

Hidden::Q256Row Hidden::q256_row(int64_t row) const {
  return {codes256_.as<int8_t>() + row * max_k_, scale256_.as<float>() + row * (max_k_ / 256),
          sum256_.as<int32_t>() + row * (max_k_ / 16)};
}

void Hidden::copy_row(int64_t row, const Hidden& from, int64_t from_row, unsigned forms) {
  const size_t k = (size_t)x_.cols;
  std::memcpy(x_[row], from.x_[from_row], k * 4);
  if (forms & (1u << (int)ActivationForm::bf16)) std::memcpy(bf16_row(row), from.bf16_row(from_row), k * 4);
  if (forms & (1u << (int)ActivationForm::q32)) {
    const Q32Row to = q32_row(row), source = from.q32_row(from_row);
    std::memcpy(to.codes, source.codes, k);
    std::memcpy(to.scale, source.scale, k / 32 * 4);
    std::memcpy(to.scaled_sum, source.scaled_sum, k / 32 * 4);
    std::memcpy(to.sum, source.sum, k / 32 * 4);
  }
  if (forms & (1u << (int)ActivationForm::q256)) {
    const Q256Row to = q256_row(row), source = from.q256_row(from_row);
    std::memcpy(to.codes, source.codes, k);
    std::memcpy(to.scale, source.scale, k / 256 * 4);
    std::memcpy(to.sum, source.sum, k / 16 * 4);
  }
}

Activations Hidden::form(ActivationForm form) const {
  Activations a{};
  a.rows = x_.rows;
  a.k = x_.cols;
  switch (form) {
    case ActivationForm::f32:
      a.x = x_.data;
      a.x_stride = x_.stride;
      break;
    case ActivationForm::bf16:
      a.x = bf16_.as<float>();
      a.x_stride = x_.stride;
      break;
    case ActivationForm::q32: {
      const Q32Row r = q32_row(0);
      a.codes = r.codes, a.scale = r.scale, a.scaled_sum = r.scaled_sum, a.sum = r.sum;
      a.codes_stride = max_k_;
      a.scale_stride = a.sum_stride = max_k_ / 32;
      break;
    }
    case ActivationForm::q256: {
      const Q256Row r = q256_row(0);
      a.codes = r.codes, a.scale = r.scale, a.sum = r.sum;
      a.codes_stride = max_k_;
      a.scale_stride = max_k_ / 256;
      a.sum_stride = max_k_ / 16;
      break;
    }
  }
  return a;
}

unsigned forms_of(const Linear& linear) {
  unsigned forms = 0;
  for (const Matrix* part : linear.parts) forms |= 1u << (int)part->form;
  return forms;
}

} // namespace nextoken
