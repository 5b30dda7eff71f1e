// AVX-512 F, BW, VL, DQ and VNNI: the operations of vec_scalar.h, one register to sixteen lanes.
#pragma once

constexpr int LANES = 16;                                                         // output rows a matmul register holds
constexpr int ONE_COLUMNS = 1, FEW_TOKENS = 8, MANY_TOKENS = 6, MANY_COLUMNS = 2; // of matmul tiles
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 6;
constexpr int SUMS_AT_ONCE = 16; // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 1;
constexpr bool MADDUBS = false;
constexpr int64_t ONE_TOKEN_AHEAD = 0;
constexpr int TILE_SUMS = 24; // sixteen-lane sums an attention tile keeps: 24 of 32 registers
// Converting halves takes a port from fma on Intel, none on Zen 4 (3 % there): attention tiles that share one
// conversion.
constexpr int64_t TILES_WORTH_EXPANDING = 8;

struct F32x16 {
  __m512 v;
};

static inline F32x16 zero16() { return {_mm512_setzero_ps()}; }
static inline F32x16 all16(float x) { return {_mm512_set1_ps(x)}; }
static inline F32x16 broadcast16(const float* p) { return all16(*p); }
static inline F32x16 load16(const float* p) { return {_mm512_loadu_ps(p)}; }
static inline void store16(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
static inline F32x16 load16_f16(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
static inline void store16_f16(uint16_t* p, F32x16 a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float sqrt1(float a) { return __builtin_sqrtf(a); }

static inline F32x16 fma16(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
static inline F32x16 add16(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
static inline F32x16 sub16(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
static inline F32x16 mul16(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
static inline F32x16 div16(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
static inline F32x16 max16(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
static inline F32x16 min16(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
static inline F32x16 abs16(F32x16 a) { return {_mm512_abs_ps(a.v)}; }
static inline F32x16 neg16(F32x16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
static inline F32x16 round16(F32x16 a) {
  const __m512 magic = _mm512_set1_ps(12582912.0f);
  return {_mm512_sub_ps(_mm512_add_ps(a.v, magic), magic)};
}
static inline F32x16 pow2_16(F32x16 n) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvttps_epi32(n.v), _mm512_set1_epi32(127)), 23))};
}
static inline F32x16 select_ge16(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_GE_OQ), b.v, a.v)};
}
static inline float fold_add16(F32x16 a) {
  const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}
static inline float fold_max16(F32x16 a) {
  const __m256 v8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 v4 = _mm_max_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_max_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_max_ss(v2, _mm_movehdup_ps(v2)));
}
static inline int32_t store16_i8(int8_t* p, F32x16 a) {
  const __m512i q = _mm512_cvttps_epi32(a.v);
  _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(q));
  // Not _mm512_reduce_add_epi32: it adds signed integers, and what a NaN is converted to overflows.
  const __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(q), _mm512_extracti64x4_epi64(q, 1));
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

// --- attention over an int8 cache: sixteen lanes of two products each ---------------------------------------

struct I32x16 {
  __m512i v;
};
using ShortPairs = __m512i;

static inline I32x16 load16_i32(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
static inline void store16_i32(int32_t* p, I32x16 a) { _mm512_storeu_si512(p, a.v); }
static inline I32x16 load16_i8(const int8_t* p) { return {_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p))}; }
static inline F32x16 to_float16(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
static inline void store16_i16(int16_t* p, F32x16 a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(a.v)));
}
static inline ShortPairs load_short_pairs(const int8_t* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p));
}
static inline ShortPairs all_short_pairs(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, 4);
  return _mm512_set1_epi32(pair);
}
static inline I32x16 dot_pairs(I32x16 sum, ShortPairs a, ShortPairs b) { return {_mm512_dpwssd_epi32(sum.v, a, b)}; }

// --- matmul: lanes are output rows -------------------------------------------------------------------------

using F32xL = __m512;
using I32xL = __m512i;
using Codes = __m512i; // four codes of each of sixteen rows, [row][4]

// By asm: gcc reads a line again for each group in it, and the core reads one line a cycle.
static inline Codes load_codes(const uint8_t* p) {
  Codes c;
  asm("vmovdqu64 %1, %0" : "=v"(c) : "m"(*(const __m512i_u*)p));
  return c;
}
static inline void store_codes(uint8_t* p, Codes c) { _mm512_storeu_si512(p, c); }
// By asm: gcc takes a function that only calls its builtin for one without effect, and drops the calls.
static inline void prefetch(const void* p) { asm volatile("prefetcht0 %0" ::"m"(*(const char*)p)); }
template <int SHIFT>
static inline Codes bits(Codes c, uint8_t mask) {
  return _mm512_and_si512(_mm512_srli_epi16(c, SHIFT), _mm512_set1_epi8((char)mask));
}
template <int SHIFT>
static inline Codes bits_up(Codes c, uint8_t mask) {
  return _mm512_and_si512(_mm512_slli_epi16(c, SHIFT), _mm512_set1_epi8((char)mask));
}
static inline Codes combine(Codes a, Codes b) { return _mm512_or_si512(a, b); }

using Table = __m512i; // sixteen bytes, four times
static inline Table load_table(const uint8_t* p) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)p)); }
static inline Codes lookup(Table table, Codes c) { return _mm512_shuffle_epi8(table, c); }

using Scale = I32xL;   // of a sub-block
using Pairs = __m512i; // two int16 of each row
static inline Scale load_scale_u8(const uint8_t* p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p)); }
static inline Scale load_scale_i8(const int8_t* p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)); }
static inline Pairs load_pairs_u8(const uint8_t* p) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i*)p));
}
static inline I32xL add_pair_products(I32xL sum, Pairs w, int32_t x) {
  return _mm512_dpwssd_epi32(sum, w, _mm512_set1_epi32(x));
}

// The zero point is the accumulator's start: it costs nothing.
template <int BITS, int ZERO>
struct BlockSum {
  __m512i sum;
  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) { clear(start_of(*activations)); }
  void clear(int32_t start) { sum = _mm512_set1_epi32(start); }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    if constexpr (ALONE) {
      // By asm: gcc 12 broadcasts in an instruction of its own, and fewer of a block's then fit the reorder buffer.
      asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(c), "m"(*(const int32_t*)x));
    } else {
      int32_t v;
      memcpy(&v, x, 4);
      sum = _mm512_dpbusd_epi32(sum, c, _mm512_set1_epi32(v));
    }
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const { return _mm512_add_epi32(total, _mm512_mullo_epi32(sum, scale)); }
};

static inline F32xL zeroL() { return _mm512_setzero_ps(); }
static inline F32xL allL(float x) { return _mm512_set1_ps(x); }
static inline F32xL broadcastL(const float* p) { return allL(*p); }
static inline F32xL loadL(const float* p) { return _mm512_loadu_ps(p); }
static inline F32xL loadL_f16(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
static inline F32xL loadL_bf16_low(const uint16_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
static inline F32xL loadL_bf16_high(const uint16_t* p) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000)));
}
static inline F32xL loadL_pow2(const uint8_t* e) {
  const __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)e));
  const __mmask16 smallest = _mm512_testn_epi32_mask(v, v);
  return _mm512_castsi512_ps(_mm512_mask_mov_epi32(_mm512_slli_epi32(v, 23), smallest, _mm512_set1_epi32(1 << 22)));
}
static inline void storeL(float* p, F32xL a) { _mm512_storeu_ps(p, a); }
static inline F32xL addL(F32xL a, F32xL b) { return _mm512_add_ps(a, b); }
static inline F32xL mulL(F32xL a, F32xL b) { return _mm512_mul_ps(a, b); }
static inline F32xL fmaL(F32xL a, F32xL b, F32xL c) { return _mm512_fmadd_ps(a, b, c); }
static inline F32xL fnmaL(F32xL a, F32xL b, F32xL c) { return _mm512_fnmadd_ps(a, b, c); }
static inline F32xL to_floatL(I32xL a) { return _mm512_cvtepi32_ps(a); }
static inline I32xL zeroI() { return _mm512_setzero_si512(); }
// By asm: gcc takes a function that only calls its builtin for one without effect, and drops the calls. Into the second
// level: what is read some blocks later would drive out what the first one holds.
static inline void prefetch_far(const void* p) { asm volatile("prefetcht1 %0" ::"m"(*(const char*)p)); }
