// F32, F16, BF16: elements as they are. F64: rounded to F32.
#include <cstring>

#include "kernels/layout.h"
#include "quant/format.h"
#include "quant/half.h"

namespace nextoken::quant {
namespace {

template <class T>
T element(const uint8_t* bytes, int64_t i) {
  T x;
  std::memcpy(&x, bytes + i * (int64_t)sizeof(T), sizeof(T));
  return x;
}

bool finite32(uint32_t x) { return (x & 0x7f800000u) != 0x7f800000u; }
bool finite_bf16(uint16_t x) { return (x & 0x7f80u) != 0x7f80u; }

// [k][16 rows]
template <class T, bool FINITE(T)>
bool pack_floats(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  for (int64_t row = 0; row < n_rows; ++row) {
    const uint8_t* from = rows + row * k * (int64_t)sizeof(T);
    for (int64_t i = 0; i < k; ++i) {
      const T x = element<T>(from, i);
      finite &= FINITE(x);
      std::memcpy(panel + (i * 16 + row) * (int64_t)sizeof(T), &x, sizeof(T));
    }
  }
  return finite;
}

bool pack_bf16(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  for (int64_t row = 0; row < n_rows; ++row) {
    const uint8_t* from = rows + row * k * 2;
    for (int64_t i = 0; i < (k + 3) / 4 * 4; ++i) {
      const uint16_t x = i < k ? element<uint16_t>(from, i) : uint16_t{0};
      finite &= finite_bf16(x);
      std::memcpy(panel + layout::bf16_element(i) + row * 4, &x, 2);
    }
  }
  return finite;
}

int64_t f32_panel(int64_t k) { return k * 64; }
int64_t f16_panel(int64_t k) { return (k + 1) / 2 * 64; }
int64_t bf16_panel(int64_t k) { return (k + 3) / 4 * 128; }

bool pack_f16(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  std::memset(panel + k * 32, 0, (size_t)(f16_panel(k) - k * 32)); // an odd k leaves half a line
  return pack_floats<uint16_t, half_is_finite>(rows, n_rows, k, panel);
}

void f32_copy(const uint8_t* bytes, int64_t n, float* out) { std::memcpy(out, bytes, (size_t)n * 4); }
void f32_store(const float* x, int64_t n, uint8_t* bytes) { std::memcpy(bytes, x, (size_t)n * 4); }

void f64_round(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = (float)element<double>(bytes, i);
}

template <float CONVERT(uint16_t)>
void widen(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = CONVERT(element<uint16_t>(bytes, i));
}
template <uint16_t CONVERT(float)>
void narrow(const float* x, int64_t n, uint8_t* bytes) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t h = CONVERT(x[i]);
    std::memcpy(bytes + i * 2, &h, 2);
  }
}

} // namespace

const Format F32 = {{WeightType::f32, "F32", 1, 4, ActivationForm::f32},
                    f32_panel,
                    pack_floats<uint32_t, finite32>,
                    f32_copy,
                    f32_store};
const Format F16 = {
    {WeightType::f16, "F16", 1, 2, ActivationForm::f32}, f16_panel, pack_f16, widen<from_half>, narrow<to_half>};
const Format BF16 = {
    {WeightType::bf16, "BF16", 1, 2, ActivationForm::bf16}, bf16_panel, pack_bf16, widen<from_bf16>, narrow<to_bf16>};

const Format F64 = {{FILE_F64, "F64", 1, 8, ActivationForm::f32}, f32_panel, nullptr, f64_round, nullptr};

} // namespace nextoken::quant
