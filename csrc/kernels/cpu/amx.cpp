// What amx has another instruction for than avx512bf16: products of tiles, for sixteen tokens and more.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::amx {
namespace {

// clang-format off: in the order they need each other
#include "vec_avx512.h"
#include "unroll.h"
#include "matmul_formats.inl"
#include "matmul_tile.inl"
#include "amx_tiles.h"
#include "matmul_amx.inl"
// clang-format on

// The words of avx512bf16, which fewer tokens are multiplied by; behind them, where tiles can be, bf16 in order.
void round_bf16(const float* x, int64_t k, float* y) {
  avx512bf16::changes.round_bf16(x, k, y);
  if (k % PanelsBf16::TILE_K != 0) return;
  // Of two words, k above k + 2 and k + 1 above k + 3.
  const __m512i in_order = _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 6, 7, 0, 1, 4, 5, 10, 11, 14, 15, 8, 9, 12, 13));
  for (int64_t i = 0; i < k / 2; i += 16) {
    const __m512i words = _mm512_loadu_si512(y + i);
    _mm512_storeu_si512(y + k / 2 + i, _mm512_shuffle_epi8(words, in_order));
  }
}

// `tiles` for whole tiles of tokens and panels up to `panels`, avx512bf16 for what is left.
void split(const MatmulArgs& args, int64_t panels, void (*tiles)(const MatmulArgs&)) {
  const int64_t tokens = args.token_end - args.token_begin;
  MatmulArgs whole = args, right = args, below = args;
  whole.token_end = right.token_end = below.token_begin = args.token_begin + tokens / TILE_TOKENS * TILE_TOKENS;
  whole.panel_end = right.panel_begin = args.panel_end < panels ? args.panel_end : panels;
  if (whole.panel_begin >= whole.panel_end || whole.token_begin == whole.token_end) {
    avx512bf16::changes.matmul(args);
    return;
  }
  tiles(whole);
  if (right.panel_begin < right.panel_end) avx512bf16::changes.matmul(right);
  if (below.token_begin < below.token_end) avx512bf16::changes.matmul(below);
}

void matmul(const MatmulArgs& args) {
  const int64_t all = (args.n_rows + PANEL_ROWS - 1) / PANEL_ROWS;
  switch (args.type) {
    case WeightType::bf16:
      return split(args, args.k % PanelsBf16::TILE_K == 0 ? args.n_rows / PANEL_ROWS : 0, PanelsBf16::matmul);
    case WeightType::q2_k:
      return split(args, all, PlanesQ256<FormatQ2_K>::matmul);
    case WeightType::q3_k:
    case WeightType::tq1_0:
    case WeightType::tq2_0:
      return split(args, all, PlanesQ256<FormatQ3_K>::matmul);
    case WeightType::q4_k:
      return split(args, all, PlanesQ256<FormatQ4_K>::matmul);
    case WeightType::q5_k:
      return split(args, all, PlanesQ256<FormatQ5_K>::matmul);
    case WeightType::q6_k:
      return split(args, all, PlanesQ256<FormatQ6_K>::matmul);
    case WeightType::iq3_xxs:
    case WeightType::iq3_s:
    case WeightType::iq4_xs:
      return split(args, all, PlanesQ256<FormatTable<8, 4>>::matmul);
    default:
      return avx512bf16::changes.matmul(args);
  }
}

constexpr KernelTable changed() {
  KernelTable t{};
  t.name = "amx";
  t.matmul = matmul;
  t.round_bf16 = round_bf16;
  return t;
}

} // namespace

extern const KernelTable changes;
const KernelTable changes = changed();

} // namespace nextoken::cpu::amx
