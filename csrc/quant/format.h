// One weight type: what quant/*.cpp of its family defines and pack.cpp lists.
#pragma once
#include "kernels/layout.h"
#include "quant/pack.h"

namespace nextoken::quant {

struct Format {
  TypeInfo info;
  int64_t (*panel_bytes)(int64_t k);                                            // k a multiple of the block size
  bool (*pack)(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel); // null for F64, which becomes F32
  void (*dequantize)(const uint8_t* bytes, int64_t n, float* out);
  void (*quantize)(const float* x, int64_t n, uint8_t* bytes); // null for types that are only read
};

extern const Format F32, F16, BF16, F64;
extern const Format Q4_0, Q4_1, Q5_0, Q5_1, Q8_0;
extern const Format Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, TQ1_0, TQ2_0;
extern const Format IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ4_NL, IQ4_XS;
extern const Format MXFP4, NVFP4;

} // namespace nextoken::quant
