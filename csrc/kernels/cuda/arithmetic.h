// The arithmetic of the CUDA kernels, for the card and for the processor that runs the same kernels in tests. Every
// operation rounds as the CPU's kernels do, in the same order (kernels/cpu/*.inl), so that bits agree.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/types.h"
#include "quant/half.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#define NEXTOKEN_HD __host__ __device__ __forceinline__
#define NEXTOKEN_KERNEL __device__ __forceinline__ // what runs on a Block, which is the device's here
#else
#define NEXTOKEN_HD inline
#define NEXTOKEN_KERNEL inline
#endif
#if defined(__CUDA_ARCH__)
#define NEXTOKEN_UNROLL _Pragma("unroll") // where an index of registers must be known
#else
#define NEXTOKEN_UNROLL
#endif

namespace nextoken::cuda {

constexpr float LARGEST_FLOAT = 3.402823466e38f;
constexpr float SMALLEST_AMAX = 7.888609052210118e-31f; // 2^-100: 127 / amax must not overflow
constexpr float MINUS_INFINITY = -__builtin_inff();

NEXTOKEN_HD uint32_t bits_of(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}
NEXTOKEN_HD float float_of_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

// On the processor the C library's fmaf, which rounds once everywhere.
NEXTOKEN_HD float fma1(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

NEXTOKEN_HD float sqrt1(float a) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(a);
#else
  return __builtin_sqrtf(a);
#endif
}

NEXTOKEN_HD float divide(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

NEXTOKEN_HD float from_half(uint16_t h) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(h));
#else
  return quant::from_half(h);
#endif
}

NEXTOKEN_HD uint16_t to_half(float x) {
#if defined(__CUDA_ARCH__)
  return __half_as_ushort(__float2half_rn(x));
#else
  return quant::to_half(x);
#endif
}

// To the nearest whole number, ties to even; for |x| < 2^22.
NEXTOKEN_HD float round1(float x) { return (x + 12582912.0f) - 12582912.0f; }
NEXTOKEN_HD float max1(float a, float b) { return a > b ? a : b; } // the second where either is NaN
NEXTOKEN_HD float min1(float a, float b) { return a < b ? a : b; }
NEXTOKEN_HD float abs1(float x) { return float_of_bits(bits_of(x) & 0x7fffffffu); }
NEXTOKEN_HD bool finite1(float x) { return (bits_of(x) & 0x7f800000u) != 0x7f800000u; }

// sum + the products of four signed bytes
NEXTOKEN_HD int dot4(uint32_t a, uint32_t b, int sum) {
#if defined(__CUDA_ARCH__)
  return __dp4a((int)a, (int)b, sum);
#else
  for (int i = 0; i < 32; i += 8) sum += (int)(int8_t)(a >> i) * (int)(int8_t)(b >> i);
  return sum;
#endif
}

NEXTOKEN_HD float round_bf16(float x) {
  const uint32_t u = bits_of(x);
  const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
  return float_of_bits((nan ? u | 0x400000u : u + 0x7fffu + ((u >> 16) & 1)) & 0xffff0000u);
}

// exp, tanh and the gates: see kernels/cpu/exp.inl and activation.inl.
NEXTOKEN_HD float exp1(float x) {
  const float clamped = max1(-88.0f, x);
  const float n = max1(round1(clamped * 1.44269504f), -126.0f);
  float r = fma1(n, -0.693359375f, clamped);
  r = fma1(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fma1(p, r, 1.3981999507e-3f);
  p = fma1(p, r, 8.3334519073e-3f);
  p = fma1(p, r, 4.1665795894e-2f);
  p = fma1(p, r, 1.6666665459e-1f);
  p = fma1(p, r, 5.0000001201e-1f);
  p = fma1(p, r * r, r + 1.0f);
  const float power = float_of_bits((uint32_t)((int)n + 127) << 23);
  return -0x1.5c0002p+6f >= x ? 0.0f : p * power; // the float next to -87
}

NEXTOKEN_HD float tanh1(float x) {
  const float a = abs1(x), z = a * a;
  float p = -5.70498872745e-3f;
  p = fma1(p, z, 2.06390887954e-2f);
  p = fma1(p, z, -5.37397155531e-2f);
  p = fma1(p, z, 1.33314422036e-1f);
  p = fma1(p, z, -3.33332819422e-1f);
  const float small = fma1(p * z, a, a);
  const float e = exp1(a * -2.0f);
  const float y = a >= 0.625f ? divide(1.0f - e, 1.0f + e) : small;
  return x >= 0.0f ? y : -y;
}

NEXTOKEN_HD float times_sigmoid(float a, float z) {
  const float e = exp1(-abs1(z)), numerator = z >= 0.0f ? 1.0f : e;
  return divide(max1(-1000.0f, a) * numerator, 1.0f + e);
}

NEXTOKEN_HD float gelu(float a) {
  const float x = min1(14.0f, abs1(a));
  const float r = divide(1.0f, x + 4.0f), s = fma1(r, -8.0f, 1.0f);
  float p = -1.201843988e-04f;
  p = fma1(p, s, 2.012617333e-04f);
  p = fma1(p, s, 1.572317909e-03f);
  p = fma1(p, s, -3.526183777e-03f);
  p = fma1(p, s, -7.529250812e-03f);
  p = fma1(p, s, 6.040668860e-02f);
  p = fma1(p, s, -1.865226775e-01f);
  p = fma1(p, s, 3.871366978e-01f);
  p = fma1(p, s, -6.078966260e-01f);
  p = fma1(p, s, 7.552851439e-01f);
  const float square = x * x, rest = fma1(x, x, -square);
  const float e = exp1(square * -0.5f);
  const float tail = fma1(e, rest * -0.5f, e) * (p * r);
  const float cut = min1(1000.0f, max1(-1000.0f, a));
  return a >= 0.0f ? fma1(-cut, tail, a) : cut * tail;
}

/// gate(a) b of the gate that needs both.
NEXTOKEN_HD float clamped_silu(float a, float b) {
  const float gate = min1(7.0f, a), up = max1(-7.0f, min1(7.0f, b));
  return times_sigmoid(gate, gate * 1.702f) * (up + 1.0f);
}

NEXTOKEN_HD float gate1(Gate gate, float a) {
  if (gate == Gate::silu) return times_sigmoid(a, a);
  if (gate == Gate::gelu_tanh) return times_sigmoid(a, a * fma1(a * a, 0.0713548162726f, 1.5957691216057f));
  if (gate == Gate::gelu) return gelu(a);
  const float positive = max1(0.0f, a);
  return gate == Gate::relu ? positive : positive * positive;
}

} // namespace nextoken::cuda
