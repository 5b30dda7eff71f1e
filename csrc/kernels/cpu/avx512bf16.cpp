// What avx512bf16 has another instruction for than avx512: two products of bf16 a lane and step.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx512bf16 {
namespace {

// clang-format off: in the order they need each other
#include "vec_avx512.h"
#include "unroll.h"
#include "matmul_tile.inl"
#include "matmul_bf16.inl"
// clang-format on

// vdpbf16ps adds the product of the upper halves, then that of the lower ones, each as an fma that flushes denormals.
// Four k are two words: k above k + 2, which continues the chain of even k, and k + 1 above k + 3.
struct Bf16InPairs {
  static constexpr int TOKENS = 4, COLUMNS = 2;
  static constexpr bool IN_TURN = false;
  static constexpr int64_t X_FLOATS = 2;

  template <int T>
  static FORCE_INLINE void add(const uint8_t* lines, const float* x, int64_t stride, F32xL (&even)[T],
                               F32xL (&odd)[T]) {
    const __m512bh w_even = (__m512bh)loadL((const float*)lines), w_odd = (__m512bh)loadL((const float*)lines + 16);
    UNROLL for (int t = 0; t < T; ++t) {
      even[t] = _mm512_dpbf16_ps(even[t], w_even, (__m512bh)allL(x[t * stride]));
      odd[t] = _mm512_dpbf16_ps(odd[t], w_odd, (__m512bh)allL(x[t * stride + 1]));
    }
  }
  static inline float x_of(const float* x, int64_t i) {
    uint32_t word;
    memcpy(&word, x + i % 2, 4);
    word = i < 2 ? word & 0xffff0000u : word << 16;
    float v;
    memcpy(&v, &word, 4);
    return v;
  }
};

// The upper half of each word rounded to nearest even, the lower half zero; NaN stays one.
inline __m512i rounded(__m512 x) {
  const __m512i u = _mm512_castps_si512(x), last = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i nearest = _mm512_add_epi32(u, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
  const __m512i bits = _mm512_mask_mov_epi32(nearest, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet);
  return _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000));
}

void round_bf16(const float* x, int64_t k, float* y) {
  const __m512i words_of_fours = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  for (int64_t i = 0; i < k; i += 16, y += 8) {
    const int64_t n = k - i < 16 ? k - i : 16;
    const __m512i v = rounded(_mm512_maskz_loadu_ps((__mmask16)((1 << n) - 1), x + i));
    const __m512i upper = _mm512_shuffle_epi32(v, (_MM_PERM_ENUM)0x44),
                  lower = _mm512_shuffle_epi32(v, (_MM_PERM_ENUM)0xee);
    const __m512i words = _mm512_or_si512(upper, _mm512_srli_epi32(lower, 16));
    const __m512i packed = _mm512_permutexvar_epi32(words_of_fours, words);
    _mm512_mask_storeu_epi32(y, (__mmask16)((1 << (n + 3) / 4 * 2) - 1), packed);
  }
}

void matmul(const MatmulArgs& args) {
  if (args.type == WeightType::bf16)
    TilesBf16<Bf16InPairs>::matmul(args);
  else
    avx512::table.matmul(args);
}

constexpr KernelTable changed() {
  KernelTable t{};
  t.name = "avx512bf16";
  t.matmul = matmul;
  t.round_bf16 = round_bf16;
  return t;
}

} // namespace

extern const KernelTable changes;
const KernelTable changes = changed();

} // namespace nextoken::cpu::avx512bf16
