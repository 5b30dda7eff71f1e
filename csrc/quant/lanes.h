// Four floats at a time, for quantisers: portable, so that they are the same on every machine.
#pragma once
#include "quant/blocks32.h"

namespace nextoken::quant {

// Four lanes whatever the machine, so that sums have one order.
typedef float F32x4 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));

inline F32x4 load4(const float* x) {
  F32x4 v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

inline double sum4(F32x4 v) { return ((double)v[0] + v[2]) + ((double)v[1] + v[3]); }

// x * inverse_step + offset, in whole numbers from 0 to top.
inline F32x4 codes4(F32x4 x, float inverse_step, float offset, float top) {
  F32x4 v = x * inverse_step + offset;
  v = v > 0.0f ? v : F32x4{}; // NaN too
  v = v < top ? v : F32x4{} + top;
  return __builtin_convertvector(__builtin_convertvector(v, I32x4), F32x4);
}

inline F32x4 magnitude(F32x4 v) { return v < 0.0f ? -v : v; }

} // namespace nextoken::quant
