// NEON: the operations of vec_scalar.h, four registers to sixteen lanes. Integer sums are in vec_neon_sums.h and
// vec_dotprod_sums.h.
#pragma once

constexpr int LANES = 8;                     // output rows that a matmul column holds: two registers
constexpr int TILE_SUMS = 6;                 // sixteen-lane sums an attention tile keeps: 24 of 32 registers
constexpr int64_t TILES_WORTH_EXPANDING = 8; // converting halves takes a port from fma

struct F32x16 {
  float32x4_t a, b, c, d;
};

template <class Op>
static inline F32x16 each(F32x16 x, Op op) {
  return {op(x.a), op(x.b), op(x.c), op(x.d)};
}
template <class Op>
static inline F32x16 each(F32x16 x, F32x16 y, Op op) {
  return {op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d)};
}

static inline F32x16 all16(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  return {v, v, v, v};
}
static inline F32x16 zero16() { return all16(0.0f); }
static inline F32x16 broadcast16(const float* p) { return all16(*p); }
static inline F32x16 load16(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
static inline void store16(float* p, F32x16 x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
static inline float32x4_t load4_f16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline F32x16 load16_f16(const uint16_t* p) {
  return {load4_f16(p), load4_f16(p + 4), load4_f16(p + 8), load4_f16(p + 12)};
}
static inline void store4_f16(uint16_t* p, float32x4_t x) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x))); }
static inline void store16_f16(uint16_t* p, F32x16 x) {
  store4_f16(p, x.a);
  store4_f16(p + 4, x.b);
  store4_f16(p + 8, x.c);
  store4_f16(p + 12, x.d);
}
// to[d * 16 + t] = from[t * stride + d], t and d up to 15
static inline void transpose16(const float* from, int64_t stride, float* to) {
  for (int t = 0; t < 16; t += 4, from += 4 * stride)
    for (int d = 0; d < 16; d += 4) {
      const float32x4_t a = vld1q_f32(from + d), b = vld1q_f32(from + stride + d);
      const float32x4_t c = vld1q_f32(from + 2 * stride + d), e = vld1q_f32(from + 3 * stride + d);
      const float32x4_t ac = vzip1q_f32(a, c), be = vzip1q_f32(b, e);
      const float32x4_t ac2 = vzip2q_f32(a, c), be2 = vzip2q_f32(b, e);
      float* const column = to + d * 16 + t;
      vst1q_f32(column, vzip1q_f32(ac, be));
      vst1q_f32(column + 16, vzip2q_f32(ac, be));
      vst1q_f32(column + 32, vzip1q_f32(ac2, be2));
      vst1q_f32(column + 48, vzip2q_f32(ac2, be2));
    }
}
static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float sqrt1(float a) { return __builtin_sqrtf(a); }

static inline F32x16 fma16(F32x16 x, F32x16 y, F32x16 z) {
  return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d)};
}
static inline F32x16 add16(F32x16 x, F32x16 y) {
  return each(x, y, [](float32x4_t u, float32x4_t v) { return vaddq_f32(u, v); });
}
static inline F32x16 sub16(F32x16 x, F32x16 y) {
  return each(x, y, [](float32x4_t u, float32x4_t v) { return vsubq_f32(u, v); });
}
static inline F32x16 mul16(F32x16 x, F32x16 y) {
  return each(x, y, [](float32x4_t u, float32x4_t v) { return vmulq_f32(u, v); });
}
static inline F32x16 div16(F32x16 x, F32x16 y) {
  return each(x, y, [](float32x4_t u, float32x4_t v) { return vdivq_f32(u, v); });
}
// Not vmaxq_f32 and vminq_f32: of NaN, and of two zeros, they choose otherwise than vmaxps.
static inline float32x4_t max4(float32x4_t u, float32x4_t v) { return vbslq_f32(vcgtq_f32(u, v), u, v); }
static inline float32x4_t min4(float32x4_t u, float32x4_t v) { return vbslq_f32(vcltq_f32(u, v), u, v); }
static inline F32x16 max16(F32x16 x, F32x16 y) { return each(x, y, max4); }
static inline F32x16 min16(F32x16 x, F32x16 y) { return each(x, y, min4); }
static inline F32x16 abs16(F32x16 x) {
  return each(x, [](float32x4_t u) { return vabsq_f32(u); });
}
static inline F32x16 neg16(F32x16 x) {
  return each(x, [](float32x4_t u) { return vnegq_f32(u); });
}
static inline F32x16 round16(F32x16 x) {
  const float32x4_t magic = vdupq_n_f32(12582912.0f);
  return each(x, [magic](float32x4_t u) { return vsubq_f32(vaddq_f32(u, magic), magic); });
}
static inline F32x16 pow2_16(F32x16 n) {
  return each(n, [](float32x4_t u) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(u), vdupq_n_s32(127)), 23));
  });
}
static inline F32x16 select_ge16(F32x16 x, F32x16 limit, F32x16 y, F32x16 z) {
  return {vbslq_f32(vcgeq_f32(x.a, limit.a), y.a, z.a), vbslq_f32(vcgeq_f32(x.b, limit.b), y.b, z.b),
          vbslq_f32(vcgeq_f32(x.c, limit.c), y.c, z.c), vbslq_f32(vcgeq_f32(x.d, limit.d), y.d, z.d)};
}
static inline float fold_add16(F32x16 x) {
  const float32x4_t v4 = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
  const float32x2_t v2 = vadd_f32(vget_low_f32(v4), vget_high_f32(v4));
  return vget_lane_f32(v2, 0) + vget_lane_f32(v2, 1);
}
static inline float fold_max16(F32x16 x) {
  const float32x4_t v4 = max4(max4(x.a, x.c), max4(x.b, x.d));
  const float a = vgetq_lane_f32(v4, 0), b = vgetq_lane_f32(v4, 1);
  const float c = vgetq_lane_f32(v4, 2), d = vgetq_lane_f32(v4, 3);
  const float even = a > c ? a : c, odd = b > d ? b : d;
  return even > odd ? even : odd;
}
static inline int32_t store16_i8(int8_t* p, F32x16 x) {
  const int32x4_t a = vcvtq_s32_f32(x.a), b = vcvtq_s32_f32(x.b), c = vcvtq_s32_f32(x.c), d = vcvtq_s32_f32(x.d);
  const int16x8_t ab = vcombine_s16(vmovn_s32(a), vmovn_s32(b)), cd = vcombine_s16(vmovn_s32(c), vmovn_s32(d));
  vst1q_s8(p, vcombine_s8(vmovn_s16(ab), vmovn_s16(cd)));
  return vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)));
}

// --- attention over an int8 cache: sixteen lanes of two products each ---------------------------------------

struct I32x16 {
  int32x4_t a, b, c, d;
};
struct ShortPairs {
  int16x8_t a, b, c, d;
};

static inline I32x16 load16_i32(const int32_t* p) {
  return {vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)};
}
static inline void store16_i32(int32_t* p, I32x16 x) {
  vst1q_s32(p, x.a);
  vst1q_s32(p + 4, x.b);
  vst1q_s32(p + 8, x.c);
  vst1q_s32(p + 12, x.d);
}
static inline I32x16 load16_i8(const int8_t* p) {
  const int8x16_t v = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_s8(vget_high_s8(v));
  return {vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
          vmovl_s16(vget_high_s16(high))};
}
static inline F32x16 to_float16(I32x16 x) {
  return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
static inline void store16_i16(int16_t* p, F32x16 x) {
  vst1q_s16(p, vcombine_s16(vqmovn_s32(vcvtq_s32_f32(x.a)), vqmovn_s32(vcvtq_s32_f32(x.b))));
  vst1q_s16(p + 8, vcombine_s16(vqmovn_s32(vcvtq_s32_f32(x.c)), vqmovn_s32(vcvtq_s32_f32(x.d))));
}
static inline ShortPairs load_short_pairs(const int8_t* p) {
  const int8x16_t first = vld1q_s8(p), second = vld1q_s8(p + 16);
  return {vmovl_s8(vget_low_s8(first)), vmovl_s8(vget_high_s8(first)), vmovl_s8(vget_low_s8(second)),
          vmovl_s8(vget_high_s8(second))};
}
static inline ShortPairs all_short_pairs(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, 4);
  const int16x8_t v = vreinterpretq_s16_s32(vdupq_n_s32(pair));
  return {v, v, v, v};
}
static inline int32x4_t dot4(int32x4_t sum, int16x8_t x, int16x8_t y) {
  return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
static inline I32x16 dot_pairs(I32x16 sum, ShortPairs x, ShortPairs y) {
  return {dot4(sum.a, x.a, y.a), dot4(sum.b, x.b, y.b), dot4(sum.c, x.c, y.c), dot4(sum.d, x.d, y.d)};
}

// --- matmul: lanes are output rows -------------------------------------------------------------------------

struct F32xL {
  float32x4_t lo, hi;
};
struct I32xL {
  int32x4_t lo, hi;
};
// Four codes of each of eight rows, [row][4].
struct Codes {
  uint8x16_t lo, hi;
};

static inline Codes load_codes(const uint8_t* p) { return {vld1q_u8(p), vld1q_u8(p + 16)}; }
static inline void store_codes(uint8_t* p, Codes c) {
  vst1q_u8(p, c.lo);
  vst1q_u8(p + 16, c.hi);
}
static inline void prefetch(const void* p) { asm volatile("prfm pldl1keep, %0" ::"Q"(*(const char*)p)); }
template <int SHIFT>
static inline Codes bits(Codes c, uint8_t mask) {
  const uint8x16_t m = vdupq_n_u8(mask);
  if constexpr (SHIFT > 0) c = {vshrq_n_u8(c.lo, SHIFT), vshrq_n_u8(c.hi, SHIFT)};
  return {vandq_u8(c.lo, m), vandq_u8(c.hi, m)};
}
template <int SHIFT>
static inline Codes bits_up(Codes c, uint8_t mask) {
  const uint8x16_t m = vdupq_n_u8(mask);
  return {vandq_u8(vshlq_n_u8(c.lo, SHIFT), m), vandq_u8(vshlq_n_u8(c.hi, SHIFT), m)};
}
static inline Codes combine(Codes a, Codes b) { return {vorrq_u8(a.lo, b.lo), vorrq_u8(a.hi, b.hi)}; }

using Table = uint8x16_t;
static inline Table load_table(const uint8_t* p) { return vld1q_u8(p); }
static inline Codes lookup(Table table, Codes c) { return {vqtbl1q_u8(table, c.lo), vqtbl1q_u8(table, c.hi)}; }

static inline int8x16_t broadcast4(const int8_t* x) {
  int32_t v;
  memcpy(&v, x, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(v));
}
template <int BITS>
static inline int8x16_t signed_codes(uint8x16_t c) {
  if constexpr (BITS == 8) c = veorq_u8(c, vdupq_n_u8(0x80));
  return vreinterpretq_s8_u8(c);
}

static inline F32xL allL(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
static inline F32xL broadcastL(const float* p) { return allL(*p); }
static inline F32xL zeroL() { return allL(0.0f); }
static inline F32xL loadL(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
static inline F32xL loadL_f16(const uint16_t* p) { return {load4_f16(p), load4_f16(p + 4)}; }
static inline float32x4_t load4_bf16_low(const uint16_t* p) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u16(vld1q_u16(p)), 16));
}
static inline float32x4_t load4_bf16_high(const uint16_t* p) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u16(vld1q_u16(p)), vdupq_n_u32(0xffff0000u)));
}
static inline F32xL loadL_bf16_low(const uint16_t* p) { return {load4_bf16_low(p), load4_bf16_low(p + 8)}; }
static inline F32xL loadL_bf16_high(const uint16_t* p) { return {load4_bf16_high(p), load4_bf16_high(p + 8)}; }
static inline float32x4_t pow2_4(uint16x4_t e) {
  const uint32x4_t v = vmovl_u16(e), smallest = vandq_u32(vceqzq_u32(v), vdupq_n_u32(1u << 22));
  return vreinterpretq_f32_u32(vorrq_u32(vshlq_n_u32(v, 23), smallest));
}
static inline F32xL loadL_pow2(const uint8_t* e) {
  const uint16x8_t v = vmovl_u8(vld1_u8(e));
  return {pow2_4(vget_low_u16(v)), pow2_4(vget_high_u16(v))};
}
static inline void storeL(float* p, F32xL x) {
  vst1q_f32(p, x.lo);
  vst1q_f32(p + 4, x.hi);
}
static inline F32xL addL(F32xL x, F32xL y) { return {vaddq_f32(x.lo, y.lo), vaddq_f32(x.hi, y.hi)}; }
static inline F32xL mulL(F32xL x, F32xL y) { return {vmulq_f32(x.lo, y.lo), vmulq_f32(x.hi, y.hi)}; }
static inline F32xL fmaL(F32xL x, F32xL y, F32xL z) {
  return {vfmaq_f32(z.lo, x.lo, y.lo), vfmaq_f32(z.hi, x.hi, y.hi)};
}
static inline F32xL fnmaL(F32xL x, F32xL y, F32xL z) {
  return {vfmsq_f32(z.lo, x.lo, y.lo), vfmsq_f32(z.hi, x.hi, y.hi)};
}
static inline F32xL to_floatL(I32xL x) { return {vcvtq_f32_s32(x.lo), vcvtq_f32_s32(x.hi)}; }
static inline I32xL allI(int32_t x) { return {vdupq_n_s32(x), vdupq_n_s32(x)}; }
static inline I32xL zeroI() { return allI(0); }
static inline I32xL addI(I32xL x, I32xL y) { return {vaddq_s32(x.lo, y.lo), vaddq_s32(x.hi, y.hi)}; }
static inline I32xL mulI(I32xL x, I32xL y) { return {vmulq_s32(x.lo, y.lo), vmulq_s32(x.hi, y.hi)}; }
static inline I32xL widen(int16x8_t x) { return {vmovl_s16(vget_low_s16(x)), vmovl_s16(vget_high_s16(x))}; }

using Scale = I32xL; // of a sub-block
struct Pairs {       // two uint8 of each row
  I32xL first, second;
};
static inline Scale load_scale_u8(const uint8_t* p) { return widen(vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)))); }
static inline Scale load_scale_i8(const int8_t* p) { return widen(vmovl_s8(vld1_s8(p))); }
static inline Pairs load_pairs_u8(const uint8_t* p) {
  const uint8x8x2_t pairs = vld2_u8(p);
  return {widen(vreinterpretq_s16_u16(vmovl_u8(pairs.val[0]))), widen(vreinterpretq_s16_u16(vmovl_u8(pairs.val[1])))};
}
static inline I32xL add_pair_products(I32xL sum, Pairs w, int32_t x) {
  return addI(addI(sum, mulI(w.first, allI((int16_t)(x & 0xffff)))), mulI(w.second, allI(x >> 16)));
}
static inline void prefetch_far(const void* p) { asm volatile("prfm pldl2keep, %0" ::"Q"(*(const char*)p)); }
