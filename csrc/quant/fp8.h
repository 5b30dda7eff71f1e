// Floats of eight bits, as Hugging Face folders have weights and scales. OCP 8-bit Floating Point 1.0, and for the
// scales OCP Microscaling Formats 1.0.
#pragma once
#include <cstdint>

#include "quant/half.h"

namespace nextoken::quant {

/// e4m3fn: four bits of exponent, three of mantissa, no infinities; all ones are no number.
inline float from_e4m3(uint8_t code) {
  const uint32_t sign = (uint32_t)(code & 0x80) << 24, exponent = code >> 3 & 15, mantissa = code & 7;
  if ((code & 0x7f) == 0x7f) return float_of(sign | 0x7fc00000u);
  if (exponent == 0) return float_of(sign | bits_of((float)mantissa * 0.001953125f)); // 2^-9
  return float_of(sign | (exponent + 120) << 23 | mantissa << 20);
}

/// e5m2: the upper half of a half, with its infinities.
inline float from_e5m2(uint8_t code) { return from_half((uint16_t)(code << 8)); }

/// e8m0, or ue8m0: 2^(code - 127); 255 is no number.
inline float from_e8m0(uint8_t code) {
  if (code == 255) return float_of(0x7fc00000u);
  return float_of(code ? (uint32_t)code << 23 : 0x00400000u);
}

} // namespace nextoken::quant
