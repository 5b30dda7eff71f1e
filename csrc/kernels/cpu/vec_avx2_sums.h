// Integer sums of vec_avx2.h by maddubs: products of two, kept as int16 until a block is done.
#pragma once
#include "unroll.h"

constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 4, MANY_TOKENS = 3, MANY_COLUMNS = 2; // of matmul tiles
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 3;
constexpr int SUMS_AT_ONCE = 4;   // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 4; // that share a run of activations; more than one: blocks of 32 are expanded too
constexpr int64_t ONE_TOKEN_AHEAD = 2048; // bytes of weights asked for ahead; 0: none
constexpr bool MADDUBS = true; // sums of sub-blocks start pair by pair; of many tokens, signs of bytes stand apart

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

// -ZERO times the sums of activations of each of 16 sub-blocks: of k 0 and 1 of its four groups, and of k 2 and 3, as
// two int16.
template <int ZERO>
static FORCE_INLINE void pair_starts(const int8_t* x, int32_t* start) {
  const __m256i ones = _mm256_set1_epi8(1), zero = _mm256_set1_epi16(-ZERO);
  for (int i = 0; i < 16; i += 8, x += 128) {
    __m256i pairs[4];
    for (int j = 0; j < 4; ++j) pairs[j] = _mm256_maddubs_epi16(ones, _mm256_loadu_si256((const __m256i*)(x + j * 32)));
    __m256i halves[2];
    for (int j = 0; j < 2; ++j)
      halves[j] = _mm256_add_epi16(_mm256_unpacklo_epi64(pairs[2 * j], pairs[2 * j + 1]),
                                   _mm256_unpackhi_epi64(pairs[2 * j], pairs[2 * j + 1]));
    const __m256 a = _mm256_castsi256_ps(halves[0]), b = _mm256_castsi256_ps(halves[1]);
    const __m256i sums = _mm256_add_epi16(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)),
                                          _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd)));
    const __m256i in_order = _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i*)(start + i), _mm256_mullo_epi16(in_order, zero));
  }
}

// Products are summed in pairs of int16. A pair is at most 2 * (2^BITS - 1) * 127, so eight groups of codes of up to
// 4 bits (30,480) or four of 5-bit ones (31,496) fit before they must be widened. Blocks have eight groups, those of
// 6-bit codes four, whose sum may wrap on the way from its start to what it is less its zero point, 32 * 8 * 127 =
// 32,512 at most. value() goes with clear_at, scaled() with clear.
template <int BITS, int ZERO>
struct BlockSum {
  static constexpr int ROOM = BITS <= 4 ? 8 : 4, PARTS = BITS == 5 ? 2 : 1;
  __m256i narrow[PARTS];
  const int32_t* activations; // of clear_at
  template <int N>
  static FORCE_INLINE void starts(const int8_t* x, int32_t* start) {
    static_assert(N == 16, "four groups each");
    pair_starts<ZERO>(x, start);
  }
  void clear_at(const int32_t* sum) {
    clear(0);
    activations = sum;
  }
  void clear(int32_t start) {
    narrow[0] = _mm256_set1_epi32(start);
    if constexpr (PARTS > 1) narrow[1] = _mm256_setzero_si256();
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
  I32xL scaled(Scale scale, I32xL total) const { return _mm256_add_epi32(total, widened(scale)); }

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
  // For many tokens: a negative code -m times x is m * ~x + m, and what is owed for those of a block is added once.
  struct Apart {
    struct Group {
      __m256i magnitude, negative;
    };
    static void store(uint8_t* p, Codes c) {
      const __m256i w = _mm256_xor_si256(c, _mm256_set1_epi8((char)0x80));
      store_codes(p, _mm256_abs_epi8(w));
      store_codes(p + 32, _mm256_cmpgt_epi8(_mm256_setzero_si256(), w));
    }
    static Group load(const uint8_t* p) { return {load_codes(p), load_codes(p + 32)}; }
    template <int GROUPS>
    static I32xL owed(const uint8_t* p) {
      __m256i pairs = _mm256_setzero_si256();
      for (int i = 0; i < GROUPS; ++i, p += sizeof(Group)) {
        const Group g = load(p);
        const __m256i of_negative = _mm256_and_si256(g.magnitude, g.negative);
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(of_negative, _mm256_set1_epi8(1)));
      }
      return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
  };
  void clear_at(const int32_t*) { sum = _mm256_setzero_si256(); }
  void clear(int32_t) { sum = _mm256_setzero_si256(); }
  void start_at(I32xL owed) { sum = owed; }
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
  template <int GROUP, int R>
  static FORCE_INLINE void add_columns(BlockSum (&sums)[R], const typename Apart::Group (&g)[R], const int8_t* x) {
    const __m256i four = broadcast4(x);
    UNROLL for (int r = 0; r < R; ++r) {
      const __m256i product = _mm256_maddubs_epi16(g[r].magnitude, _mm256_xor_si256(four, g[r].negative));
      sums[r].sum = _mm256_add_epi32(sums[r].sum, _mm256_madd_epi16(product, _mm256_set1_epi16(1)));
      asm volatile("" : "+x"(sums[r].sum));
    }
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const {
    const __m256i one = _mm256_srai_epi32(_mm256_slli_epi32(scale, 16), 16);
    return _mm256_add_epi32(total, _mm256_mullo_epi32(sum, one));
  }
};
