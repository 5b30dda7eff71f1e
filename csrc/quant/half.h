// Half-precision and bf16 numbers in plain integer arithmetic, rounding to nearest even. For portable code only:
// kernels have their own.
#pragma once
#include <cstdint>
#include <cstring>

namespace nextoken::quant {

inline uint32_t bits_of(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

inline float float_of(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

inline bool half_is_finite(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

inline float from_half(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
  if (exponent == 31) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent) return float_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
  return float_of(sign | bits_of((float)mantissa * 5.9604644775390625e-8f)); // 2^-24
}

inline uint16_t to_half(float f) {
  const uint32_t u = bits_of(f) & 0x7fffffffu;
  const uint16_t sign = (uint16_t)((bits_of(f) >> 16) & 0x8000u);
  if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);  // NaN
  if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); // 65520 and more round to infinity
  if (u < 0x38800000u)                                     // below 2^-14: adding 0.5 rounds to units of 2^-24
    return (uint16_t)(sign | (bits_of(float_of(u) + 0.5f) - 0x3f000000u));
  return (uint16_t)(sign | ((u + 0xc8000fffu + ((u >> 13) & 1)) >> 13));
}

inline float from_bf16(uint16_t h) { return float_of((uint32_t)h << 16); }

inline uint16_t to_bf16(float f) {
  const uint32_t u = bits_of(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 64); // a quiet NaN
  return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

} // namespace nextoken::quant
