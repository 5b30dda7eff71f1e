// Vector types in plain C++: the definition that the other vec_*.h files must equal bit for bit.
// Included inside the namespace of one instruction set; nothing here may be visible to the linker elsewhere. What
// matmul needs is in vec_scalar_matmul.h.
#pragma once

constexpr int LANES = 16;                                                         // output rows a matmul register holds
constexpr int ONE_COLUMNS = 1, FEW_TOKENS = 1, MANY_TOKENS = 1, MANY_COLUMNS = 1; // of matmul tiles
constexpr int FLOAT_ONE_COLUMNS = 1, FLOAT_TOKENS = 1, FLOAT_COLUMNS = 1, K_TOKENS = 1;
constexpr int SUMS_AT_ONCE = 1;   // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 1; // that share a run of activations
constexpr bool MADDUBS = false;
constexpr int64_t ONE_TOKEN_AHEAD = 0;
constexpr int TILE_SUMS = 6;                 // sixteen-lane sums an attention tile keeps
constexpr int64_t TILES_WORTH_EXPANDING = 2; // from here a block of the cache becomes floats once for all

struct F32x16 {
  float v[16];
};

#define EACH for (int i = 0; i < 16; ++i)

static inline F32x16 zero16() {
  F32x16 r;
  EACH r.v[i] = 0.0f;
  return r;
}

static inline F32x16 all16(float x) {
  F32x16 r;
  EACH r.v[i] = x;
  return r;
}

static inline F32x16 broadcast16(const float* p) { return all16(*p); }
static inline F32x16 load16(const float* p) {
  F32x16 r;
  EACH r.v[i] = p[i];
  return r;
}

static inline void store16(float* p, F32x16 a) { EACH p[i] = a.v[i]; }

static inline float half_to_float(uint16_t h) {
  const uint32_t sign = (uint32_t)(h >> 15) << 31, e = (h >> 10) & 31, m = h & 1023;
  uint32_t u;
  float f;
  if (e == 31) {
    u = sign | 0x7f800000u | (m << 13) | (m ? 0x400000u : 0); // quiets NaN, as vcvtph2ps does
  } else if (e) {
    u = sign | ((e + 112) << 23) | (m << 13);
  } else {
    f = (float)m * 5.9604644775390625e-8f; // 2^-24: subnormal halves are normal floats
    memcpy(&u, &f, 4);
    u |= sign;
  }
  memcpy(&f, &u, 4);
  return f;
}

// Round to nearest even, as vcvtps2ph does.
static inline uint16_t float_to_half(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  const uint32_t sign = (u >> 16) & 0x8000u;
  u &= 0x7fffffffu;
  if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((u >> 13) & 0x3ffu));
  if (u >= 0x47800000u) return (uint16_t)(sign | 0x7c00u);
  if (u < 0x38800000u) {
    float a;
    memcpy(&a, &u, 4);
    a += 0.5f; // 0.5 has units of 2^-24, those of a subnormal half: the addition rounds
    uint32_t r;
    memcpy(&r, &a, 4);
    return (uint16_t)(sign | (r - 0x3f000000u));
  }
  u += 0xc8000fffu + ((u >> 13) & 1); // rebias by -112 and round
  return (uint16_t)(sign | (u >> 13));
}

static inline F32x16 load16_f16(const uint16_t* p) {
  F32x16 r;
  EACH r.v[i] = half_to_float(p[i]);
  return r;
}

static inline void store16_f16(uint16_t* p, F32x16 a) { EACH p[i] = float_to_half(a.v[i]); }

// Sixteen rows, `stride` apart, turned into columns: to[d * 16 + t] = from[t * stride + d].
static inline void transpose16(const float* from, int64_t stride, float* to) {
  for (int64_t t = 0; t < 16; ++t) EACH to[i * 16 + t] = from[t * stride + i];
}

#if defined(__aarch64__)
static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
// Without the instruction, and faster than the C library's: the product is exact in double, the sum is rounded to odd
// there, and so rounding it to float rounds once. Boldo and Melquiond 2008.
static inline float fma1(float a, float b, float c) {
  const double product = (double)a * (double)b, sum = product + (double)c;
  const double of_c = sum - product, error = (product - (sum - of_c)) + ((double)c - of_c);
  uint64_t u;
  memcpy(&u, &sum, 8);
  const bool inexact = error > 0 || error < 0; // a NaN, where the sum is infinite or none, is neither
  const uint64_t towards_error = (error > 0) == (sum > 0) ? 1 : ~(uint64_t)0;
  u += inexact & !(u & 1) ? towards_error : 0;
  double odd;
  memcpy(&odd, &u, 8);
  return (float)odd;
}
#endif
static inline float sqrt1(float a) { return __builtin_sqrtf(a); }

static inline F32x16 fma16(F32x16 a, F32x16 b, F32x16 c) {
  F32x16 r;
  EACH r.v[i] = fma1(a.v[i], b.v[i], c.v[i]);
  return r;
}

#define LANEWISE(name, expression)                \
  static inline F32x16 name(F32x16 a, F32x16 b) { \
    F32x16 r;                                     \
    EACH r.v[i] = expression;                     \
    return r;                                     \
  }
LANEWISE(add16, a.v[i] + b.v[i])
LANEWISE(sub16, a.v[i] - b.v[i])
LANEWISE(mul16, a.v[i] * b.v[i])
LANEWISE(div16, a.v[i] / b.v[i])
LANEWISE(max16, a.v[i] > b.v[i] ? a.v[i] : b.v[i]) // the second where either is NaN, as vmaxps
LANEWISE(min16, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
#undef LANEWISE

static inline F32x16 abs16(F32x16 a) {
  F32x16 r;
  EACH r.v[i] = __builtin_fabsf(a.v[i]);
  return r;
}

static inline F32x16 neg16(F32x16 a) {
  F32x16 r;
  EACH r.v[i] = -a.v[i];
  return r;
}

// To the nearest integer, ties to even; only for |x| < 2^22.
static inline F32x16 round16(F32x16 a) {
  F32x16 r;
  EACH r.v[i] = (a.v[i] + 12582912.0f) - 12582912.0f;
  return r;
}

// 2^n for whole n in [-126, 127].
static inline F32x16 pow2_16(F32x16 n) {
  F32x16 r;
  EACH {
    const uint32_t u = (uint32_t)((int32_t)n.v[i] + 127) << 23;
    memcpy(&r.v[i], &u, 4);
  }
  return r;
}

// a where x >= limit, else b (b where x is NaN).
static inline F32x16 select_ge16(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  F32x16 r;
  EACH r.v[i] = x.v[i] >= limit.v[i] ? a.v[i] : b.v[i];
  return r;
}

// Sums and maxima of the lanes in one fixed tree: lanes 8 apart first, then 4, 2, 1.
static inline float fold_add16(F32x16 a) {
  for (int w = 8; w >= 1; w /= 2)
    for (int i = 0; i < w; ++i) a.v[i] = a.v[i] + a.v[i + w];
  return a.v[0];
}
static inline float fold_max16(F32x16 a) {
  for (int w = 8; w >= 1; w /= 2)
    for (int i = 0; i < w; ++i) a.v[i] = a.v[i] > a.v[i + w] ? a.v[i] : a.v[i + w];
  return a.v[0];
}

// Sixteen int8 from whole floats in [-127, 127]; returns their sum.
static inline int32_t store16_i8(int8_t* p, F32x16 a) {
  uint32_t sum = 0; // what a NaN is converted to overflows a signed one
  EACH {
    const int32_t q = (int32_t)a.v[i];
    p[i] = (int8_t)q;
    sum += (uint32_t)q;
  }
  return (int32_t)sum;
}

// --- attention over an int8 cache: sixteen lanes of two products each ---------------------------------------

struct I32x16 {
  int32_t v[16];
};
// Two int16 a lane.
struct ShortPairs {
  int16_t v[32];
};

// By memcpy: integers and floats share places.
static inline I32x16 load16_i32(const int32_t* p) {
  I32x16 r;
  memcpy(r.v, p, 64);
  return r;
}
static inline I32x16 load16_i8(const int8_t* p) {
  I32x16 r;
  EACH r.v[i] = p[i];
  return r;
}
static inline void store16_i32(int32_t* p, I32x16 a) { memcpy(p, a.v, 64); }
static inline F32x16 to_float16(I32x16 a) {
  F32x16 r;
  EACH r.v[i] = (float)a.v[i];
  return r;
}
// Sixteen int16 from whole floats that fit.
static inline void store16_i16(int16_t* p, F32x16 a) {
  int16_t lanes[16];
  EACH lanes[i] = (int16_t)a.v[i];
  memcpy(p, lanes, 32);
}
static inline ShortPairs load_short_pairs(const int8_t* p) {
  ShortPairs r;
  for (int i = 0; i < 32; ++i) r.v[i] = p[i];
  return r;
}
// The same pair in every lane.
static inline ShortPairs all_short_pairs(const int16_t* p) {
  int16_t pair[2];
  memcpy(pair, p, 4);
  ShortPairs r;
  for (int i = 0; i < 32; ++i) r.v[i] = pair[i % 2];
  return r;
}
// sum + a[0] * b[0] + a[1] * b[1] in each lane, exact while it fits
static inline I32x16 dot_pairs(I32x16 sum, ShortPairs a, ShortPairs b) {
  EACH sum.v[i] += a.v[2 * i] * b.v[2 * i] + a.v[2 * i + 1] * b.v[2 * i + 1];
  return sum;
}
static inline void prefetch_far(const void*) {}
