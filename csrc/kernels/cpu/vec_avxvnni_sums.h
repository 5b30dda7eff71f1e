// Integer sums of vec_avx2.h by the dot products of four of AVX-VNNI.
#pragma once

// Tokens x columns of a matmul tile: a register of sums and one of floats each; two columns share an activation.
constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 3, MANY_TOKENS = 3, MANY_COLUMNS = 2;
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 3;
constexpr int SUMS_AT_ONCE = 4; // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 1;
constexpr bool MADDUBS = false;
constexpr int64_t ONE_TOKEN_AHEAD = 0;

// AVX-512 has the same instructions in an encoding of its own: a build for tests takes those.
#ifdef __AVXVNNI__
#define DPBUSD _mm256_dpbusd_avx_epi32
#define DPWSSD _mm256_dpwssd_avx_epi32
#else
#define DPBUSD _mm256_dpbusd_epi32
#define DPWSSD _mm256_dpwssd_epi32
#endif

using Scale = I32xL; // of a sub-block
static inline Scale load_scale_u8(const uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
static inline Scale load_scale_i8(const int8_t* p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
static inline I32xL add_pair_products(I32xL sum, Pairs w, int32_t x) { return DPWSSD(sum, w, _mm256_set1_epi32(x)); }

// The zero point is the accumulator's start.
template <int BITS, int ZERO>
struct BlockSum {
  __m256i sum;
  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) {
    sum = _mm256_setzero_si256();
    if constexpr (ZERO != 0) sum = _mm256_sub_epi32(sum, times_zero<ZERO>(activations));
  }
  void clear(int32_t start) { sum = _mm256_set1_epi32(start); }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    sum = DPBUSD(sum, c, broadcast4(x));
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const { return _mm256_add_epi32(total, _mm256_mullo_epi32(sum, scale)); }
};

#undef DPBUSD
#undef DPWSSD
