// AVX2, FMA and F16C: the operations of vec_scalar.h, two registers to sixteen lanes.
#pragma once

constexpr int LANES = 8;                             // output rows a matmul register holds
constexpr int TILE_SUMS = 6;                         // sixteen-lane sums an attention tile keeps: 12 of 16 registers
constexpr int64_t TILES_WORTH_EXPANDING = INT64_MAX; // converting halves costs nothing beside six rows of fma

struct F32x16 {
  __m256 lo, hi;
};

static inline F32x16 zero16() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline F32x16 all16(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
// By asm: gcc would keep a number for all vectors of an attention tile, and spill a sum of three rows by two vectors.
static inline F32x16 broadcast16(const float* p) {
  __m256 v;
  asm volatile("vbroadcastss %1, %0" : "=x"(v) : "m"(*p));
  return {v, v};
}
static inline F32x16 load16(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline void store16(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
static inline F32x16 load16_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)),
          _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
static inline void store16_f16(uint16_t* p, F32x16 a) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128((__m128i*)(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float sqrt1(float a) { return __builtin_sqrtf(a); }

static inline F32x16 fma16(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
static inline F32x16 add16(F32x16 a, F32x16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
static inline F32x16 sub16(F32x16 a, F32x16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
static inline F32x16 mul16(F32x16 a, F32x16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
static inline F32x16 div16(F32x16 a, F32x16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
static inline F32x16 max16(F32x16 a, F32x16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
static inline F32x16 min16(F32x16 a, F32x16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
static inline F32x16 abs16(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
static inline F32x16 neg16(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi)};
}
static inline F32x16 round16(F32x16 a) {
  const __m256 magic = _mm256_set1_ps(12582912.0f);
  return {_mm256_sub_ps(_mm256_add_ps(a.lo, magic), magic), _mm256_sub_ps(_mm256_add_ps(a.hi, magic), magic)};
}
static inline __m256 pow2_8(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline F32x16 pow2_16(F32x16 n) { return {pow2_8(n.lo), pow2_8(n.hi)}; }
static inline F32x16 select_ge16(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, limit.lo, _CMP_GE_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, limit.hi, _CMP_GE_OQ))};
}
static inline float fold_add16(F32x16 a) {
  const __m256 v8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}
static inline float fold_max16(F32x16 a) {
  const __m256 v8 = _mm256_max_ps(a.lo, a.hi);
  const __m128 v4 = _mm_max_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_max_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_max_ss(v2, _mm_movehdup_ps(v2)));
}
static inline int32_t store16_i8(int8_t* p, F32x16 a) {
  const __m256i lo = _mm256_cvttps_epi32(a.lo), hi = _mm256_cvttps_epi32(a.hi);
  const __m256i sum8 = _mm256_add_epi32(lo, hi);
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum8), _mm256_extracti128_si256(sum8, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xd8);
  _mm_storeu_si128((__m128i*)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  return _mm_cvtsi128_si32(s);
}

// --- attention over an int8 cache: sixteen lanes of two products each ---------------------------------------

struct I32x16 {
  __m256i lo, hi;
};
struct ShortPairs {
  __m256i lo, hi;
};

static inline I32x16 load16_i32(const int32_t* p) {
  return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)(p + 8))};
}
static inline void store16_i32(int32_t* p, I32x16 a) {
  _mm256_storeu_si256((__m256i*)p, a.lo);
  _mm256_storeu_si256((__m256i*)(p + 8), a.hi);
}
static inline I32x16 load16_i8(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8)))};
}
static inline F32x16 to_float16(I32x16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
static inline void store16_i16(int16_t* p, F32x16 a) {
  const __m256i words = _mm256_packs_epi32(_mm256_cvttps_epi32(a.lo), _mm256_cvttps_epi32(a.hi));
  _mm256_storeu_si256((__m256i*)p, _mm256_permute4x64_epi64(words, 0xd8));
}
static inline ShortPairs load_short_pairs(const int8_t* p) {
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p)),
          _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(p + 16)))};
}
// By asm, as broadcast16: gcc would multiply all rows before it adds, and spill the sums.
static inline ShortPairs all_short_pairs(const int16_t* p) {
  __m256i v;
  asm volatile("vpbroadcastd %1, %0" : "=x"(v) : "m"(*(const int32_t*)p));
  return {v, v};
}
static inline I32x16 dot_pairs(I32x16 sum, ShortPairs a, ShortPairs b) {
  const __m256i lo = _mm256_madd_epi16(a.lo, b.lo), hi = _mm256_madd_epi16(a.hi, b.hi);
  asm("vpaddd %1, %0, %0" : "+x"(sum.lo) : "x"(lo));
  asm("vpaddd %1, %0, %0" : "+x"(sum.hi) : "x"(hi));
  return sum;
}

// --- matmul: lanes are output rows -------------------------------------------------------------------------

using F32xL = __m256;
using I32xL = __m256i;
using Codes = __m256i; // four codes of each of eight rows, [row][4]

// By asm: gcc reads a line again for each group in it.
static inline Codes load_codes(const uint8_t* p) {
  Codes c;
  asm("vmovdqu %1, %0" : "=x"(c) : "m"(*(const __m256i_u*)p));
  return c;
}
static inline void store_codes(uint8_t* p, Codes c) { _mm256_storeu_si256((__m256i*)p, c); }
// By asm: gcc takes a function that only calls its builtin for one without effect, and drops the calls.
static inline void prefetch(const void* p) { asm volatile("prefetcht0 %0" ::"m"(*(const char*)p)); }
template <int SHIFT>
static inline Codes bits(Codes c, uint8_t mask) {
  return _mm256_and_si256(_mm256_srli_epi16(c, SHIFT), _mm256_set1_epi8((char)mask));
}
template <int SHIFT>
static inline Codes bits_up(Codes c, uint8_t mask) {
  return _mm256_and_si256(_mm256_slli_epi16(c, SHIFT), _mm256_set1_epi8((char)mask));
}
static inline Codes combine(Codes a, Codes b) { return _mm256_or_si256(a, b); }

using Table = __m256i; // sixteen bytes, twice
static inline Table load_table(const uint8_t* p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)p));
}
static inline Codes lookup(Table table, Codes c) { return _mm256_shuffle_epi8(table, c); }

static inline __m256i broadcast4(const int8_t* x) {
  int32_t v;
  memcpy(&v, x, 4);
  return _mm256_set1_epi32(v);
}

using Pairs = __m256i; // two int16 of each row
static inline Pairs load_pairs_u8(const uint8_t* p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)p)); }

// ZERO times a sum in memory: broadcast by the load, where a number in a general register would take two more steps.
template <int ZERO>
static inline I32xL times_zero(const int32_t* sum) {
  const __m256i all = _mm256_set1_epi32(*sum);
  if constexpr ((ZERO & (ZERO - 1)) == 0) return _mm256_slli_epi32(all, __builtin_ctz(ZERO));
  return _mm256_mullo_epi32(all, _mm256_set1_epi32(ZERO));
}

static inline F32xL zeroL() { return _mm256_setzero_ps(); }
// By asm, as broadcast16: gcc would keep the numbers of all tokens of a tile at once, and spill sums.
static inline F32xL broadcastL(const float* p) {
  __m256 v;
  asm volatile("vbroadcastss %1, %0" : "=x"(v) : "m"(*p));
  return v;
}
static inline F32xL allL(float x) { return _mm256_set1_ps(x); }
static inline F32xL loadL(const float* p) { return _mm256_loadu_ps(p); }
static inline F32xL loadL_f16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
static inline F32xL loadL_bf16_low(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i*)p), 16));
}
static inline F32xL loadL_bf16_high(const uint16_t* p) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(_mm256_loadu_si256((const __m256i*)p), _mm256_set1_epi32((int)0xffff0000)));
}
static inline F32xL loadL_pow2(const uint8_t* e) {
  const __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)e));
  const __m256i smallest = _mm256_and_si256(_mm256_cmpeq_epi32(v, _mm256_setzero_si256()), _mm256_set1_epi32(1 << 22));
  return _mm256_castsi256_ps(_mm256_or_si256(_mm256_slli_epi32(v, 23), smallest));
}
static inline void storeL(float* p, F32xL a) { _mm256_storeu_ps(p, a); }
static inline F32xL addL(F32xL a, F32xL b) { return _mm256_add_ps(a, b); }
static inline F32xL mulL(F32xL a, F32xL b) { return _mm256_mul_ps(a, b); }
static inline F32xL fmaL(F32xL a, F32xL b, F32xL c) { return _mm256_fmadd_ps(a, b, c); }
static inline F32xL fnmaL(F32xL a, F32xL b, F32xL c) { return _mm256_fnmadd_ps(a, b, c); }
static inline F32xL to_floatL(I32xL a) { return _mm256_cvtepi32_ps(a); }
static inline I32xL zeroI() { return _mm256_setzero_si256(); }
// By asm: gcc takes a function that only calls its builtin for one without effect, and drops the calls. Into the second
// level: what is read some blocks later would drive out what the first one holds.
static inline void prefetch_far(const void* p) { asm volatile("prefetcht1 %0" ::"m"(*(const char*)p)); }
