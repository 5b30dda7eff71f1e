// Integer sums of vec_avx2.h by maddubs: products of two, kept as int16 until a block is done.
#pragma once
#include "unroll.h"

constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 4, MANY_TOKENS = 3, MANY_COLUMNS = 2; // of matmul tiles
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 4, FLOAT_COLUMNS = 2, K_TOKENS = 3;
constexpr int SUMS_AT_ONCE = 4;   // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 4; // that share a run of activations; more than one: blocks of 32 are expanded too
constexpr int64_t ONE_TOKEN_AHEAD = 2048; // bytes of weights asked for ahead; 0: none

// The scale of a sub-block twice, as int16: multiplying by it widens as well.
using Scale = __m256i;
static inline Scale load_scale_u8(const uint8_t* p) {
  const __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  return _mm256_or_si256(v, _mm256_slli_epi32(v, 16));
}
static inline Scale load_scale_i8(const int8_t* p) {
  const __m256i v = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
  return _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
}
static inline I32xL add_pair_products(I32xL sum, Pairs w, int32_t x) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(w, _mm256_set1_epi32(x)));
}

// Products are summed in pairs of int16. A pair is at most 2 * (2^BITS - 1) * 127, so eight groups of codes of up to
// 4 bits (30,480), four of 5-bit ones (31,496) or two of 6-bit ones (32,004) fit before they must be widened. Blocks
// have eight groups, those of 6-bit codes four. value() goes with clear_at, scaled() with clear.
template <int BITS, int ZERO>
struct BlockSum {
  static constexpr int ROOM = BITS <= 4 ? 8 : BITS == 5 ? 4 : 2, PARTS = BITS <= 4 ? 1 : 2;
  __m256i narrow[PARTS];
  const int32_t* activations; // of clear_at
  __m256i start;              // of clear
  // Half of it, twice, as int16: 16 codes of zero point 32 start at 32 * 16 * 127 = 65,024 at most.
  static int32_t start_of(int32_t sum) { return (int32_t)((uint32_t)(uint16_t)(-ZERO / 2 * sum) * 0x10001u); }
  void clear_at(const int32_t* sum) {
    clear(0);
    activations = sum;
  }
  void clear(int32_t first) {
    for (int i = 0; i < PARTS; ++i) narrow[i] = _mm256_setzero_si256();
    start = _mm256_set1_epi32(first);
  }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    __m256i& sum = narrow[GROUP / ROOM];
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(c, broadcast4(x)));
    asm volatile("" : "+x"(sum)); // keeps gcc from computing all products first and spilling them
  }
  // Products before sums: a sum that waits for its product keeps others from a port.
  template <int GROUP, int R>
  static FORCE_INLINE void add_columns(BlockSum (&sums)[R], const Codes (&c)[R], const int8_t* x) {
    const __m256i four = broadcast4(x);
    __m256i products[R];
    for (int r = 0; r < R; ++r) {
      products[r] = _mm256_maddubs_epi16(c[r], four);
      asm volatile("" : "+x"(products[r]));
    }
    for (int r = 0; r < R; ++r) {
      __m256i& sum = sums[r].narrow[GROUP / ROOM];
      sum = _mm256_add_epi16(sum, products[r]);
      asm volatile("" : "+x"(sum));
    }
  }
  I32xL value() const {
    const __m256i wide = widened(_mm256_set1_epi16(1));
    if constexpr (ZERO != 0) return _mm256_sub_epi32(wide, times_zero<ZERO>(activations));
    return wide;
  }
  I32xL scaled(Scale scale, I32xL total) const {
    total = _mm256_add_epi32(total, widened(scale));
    if constexpr (ZERO != 0) total = _mm256_add_epi32(total, _mm256_madd_epi16(start, scale));
    return total;
  }

 private:
  __m256i widened(__m256i by) const {
    __m256i wide = _mm256_madd_epi16(narrow[0], by);
    if constexpr (PARTS > 1) wide = _mm256_add_epi32(wide, _mm256_madd_epi16(narrow[1], by));
    return wide;
  }
};

// maddubs takes one side without signs, and saturates with 255 * 127 * 2: the sign of an 8-bit code, at most 128 then,
// goes to the activation.
template <int ZERO>
struct BlockSum<8, ZERO> {
  static_assert(ZERO == 128, "the zero point of unsigned bytes");
  __m256i sum;
  static int32_t start_of(int32_t) { return 0; }
  void clear_at(const int32_t*) { sum = _mm256_setzero_si256(); }
  void clear(int32_t) { sum = _mm256_setzero_si256(); }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    const __m256i w = _mm256_xor_si256(c, _mm256_set1_epi8((char)0x80));
    const __m256i product = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(broadcast4(x), w));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(product, _mm256_set1_epi16(1)));
    asm volatile("" : "+x"(sum));
  }
  template <int GROUP, int R>
  static FORCE_INLINE void add_columns(BlockSum (&sums)[R], const Codes (&c)[R], const int8_t* x) {
    UNROLL for (int r = 0; r < R; ++r) sums[r].template add<GROUP>(c[r], x);
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const {
    const __m256i one = _mm256_srai_epi32(_mm256_slli_epi32(scale, 16), 16);
    return _mm256_add_epi32(total, _mm256_mullo_epi32(sum, one));
  }
};
