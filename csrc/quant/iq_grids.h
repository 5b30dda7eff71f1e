// The codebooks of the IQ types: entries of eight or four digits, the first in the lowest bits.
#pragma once
#include <cstdint>

namespace nextoken::quant {

extern const uint16_t GRID_IQ1[2048];    // eight digits of two bits: -1, 0, 1
extern const uint16_t GRID_IQ2_XXS[256]; // eight digits of two bits: 8, 25, 43
extern const uint16_t GRID_IQ2_XS[512];
extern const uint16_t GRID_IQ2_S[1024];
extern const uint16_t GRID_IQ3_XXS[256]; // four digits of three bits: 4, 12, 20, 28, 36, 44, 52, 62
extern const uint16_t GRID_IQ3_S[512];   // four digits of three bits: 1, 3, 5, ..., 15

/// Of seven signs the eighth is such that an even number of elements is negative.
inline uint32_t even_signs(uint32_t seven) {
  uint32_t parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | (parity & 1) << 7;
}

} // namespace nextoken::quant
