// Whether numbers are numbers.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nextoken {

/// No NaN and no infinity among the n floats at x.
inline bool all_finite(const float* x, int64_t n) {
  int32_t largest = 0; // of the bits without the sign, which order like magnitudes; a loop that compilers vectorise
  for (int64_t i = 0; i < n; ++i) {
    int32_t bits;
    std::memcpy(&bits, x + i, 4);
    largest = std::max(largest, bits & 0x7fffffff);
  }
  return largest < 0x7f800000;
}

} // namespace nextoken
