// Products of many tokens with weights in blocks, on tensor cores. A warp computes a panel of 16 output rows for TILES
// tiles of eight tokens; the warps of a block have a panel each and share the tokens' codes, which stand in shared
// memory, a step of k at a time, and the next step's are on their way meanwhile. Sums of a block of weights are
// integers; their floats are added by the thread that holds them, in the contract's order (kernels/cpu/matmul_q32.inl,
// matmul_q256.inl).
#pragma once
#include "kernels/cuda/matmul_args.h"
#include "kernels/cuda/tile_formats.h"

namespace nextoken::cuda {

template <int TILES>
struct WarpSums {
  FragmentF tile[TILES];
};
/// Of the two rows that a thread has.
struct RowPair {
  float scale[2], minimum[2];
};
/// What multiplies a tile for a thread: its two tokens'.
template <class Stage>
NEXTOKEN_HD const uint32_t* codes_of(const Stage& stage, int tile, int lane, int64_t k) {
  return (const uint32_t*)(stage.codes[tile * TILE_TOKENS + lane / 4] + k + 4 * (lane % 4));
}

/// Tokens' codes from k = `first` on, as far as there are any; a token past the last is the last again.
template <int TOKENS, class Stage>
NEXTOKEN_HD void fetch_codes(Stage& to, const Activations& in, int64_t k, int64_t first, int64_t first_token, int n,
                             int t, int threads) {
  constexpr int PIECES = Stage::K / 16;
  for (int i = t; i < TOKENS * PIECES; i += threads) {
    const int token = i / PIECES, piece = i % PIECES;
    if (first + piece * 16 >= k) continue;
    const int64_t source = first_token + (token < n ? token : n - 1);
    copy_to_shared<16>(to.codes[token] + piece * 16, in.codes + source * in.codes_stride + first + piece * 16);
  }
}

/// Four blocks of 32 a step.
template <class F>
struct Steps32 {
  static constexpr int K = 128, BLOCKS = K / 32;
  template <int TOKENS>
  struct alignas(16) Stage {
    static constexpr int K = Steps32::K;
    int8_t codes[TOKENS][K + 16]; // 16 more: the words that a warp reads stand in 32 banks
    float scale[TOKENS][BLOCKS], scaled_sum[F::HAS_MIN ? TOKENS : 1][BLOCKS];
  };

  template <int TOKENS>
  static NEXTOKEN_HD void fetch(Stage<TOKENS>& to, const Activations& in, int64_t k, int64_t first, int64_t first_token,
                                int n, int t, int threads) {
    fetch_codes<TOKENS>(to, in, k, first, first_token, n, t, threads);
    for (int i = t; i < TOKENS * BLOCKS; i += threads) {
      const int token = i / BLOCKS, u = i % BLOCKS;
      if (first + u * 32 >= k) continue;
      const int64_t at = (first_token + (token < n ? token : n - 1)) * in.scale_stride + first / 32 + u;
      copy_to_shared<4>(&to.scale[token][u], in.scale + at);
      if (F::HAS_MIN) copy_to_shared<4>(&to.scaled_sum[token][u], in.scaled_sum + at);
    }
  }

  template <int TILES, class Block, class Stage>
  static NEXTOKEN_KERNEL void multiply(Block& block, typename Block::template Local<const uint8_t*>& panel,
                                       const Stage& stage, int64_t first, int64_t k, int tiles,
                                       typename Block::template Local<WarpSums<TILES>>& sums) {
    // An integer s below 2^22 added to the bits of 1.5 2^23 gives those of 1.5 2^23 + s: a conversion of one addition.
    constexpr float START = 12582912.0f;
    constexpr int PARTS = F::PARTS, HALVES = 2 / PARTS; // a part has a sum of its own
    typename Block::template Local<FragmentA<HALVES>> a[PARTS];
    typename Block::template Local<FragmentB<HALVES>> b;
    typename Block::template Local<FragmentC> c;
    typename Block::template Local<RowPair> rows[PARTS];
    const int n_blocks = (int)(k - first < K ? (k - first) / 32 : BLOCKS);
    for (int u = 0; u < n_blocks; ++u) {
      block.own([&](int t) {
        const int group = t % 4, row = t % WARP / 4;
        const Place32<F> place(first / 32 + u);
        for (int i = 0; i < 2; ++i) {
          uint32_t words[2];
          LaneCodes<F>::load(panel[t] + place.codes, group, row + 8 * i, words);
          NEXTOKEN_UNROLL
          for (int h = 0; h < 2; ++h) a[h / HALVES][t].v[h % HALVES * 2 + i] = less_zero<F::ZERO>(words[h]);
          NEXTOKEN_UNROLL
          for (int p = 0; p < PARTS; ++p)
            rows[p][t].scale[i] = F::scale(panel[t] + place.scales + part_scales(p), row + 8 * i);
          if (F::HAS_MIN) rows[0][t].minimum[i] = half_at(panel[t] + place.minima + (row + 8 * i) * 2);
        }
      });
      NEXTOKEN_UNROLL
      for (int tile = 0; tile < TILES; ++tile) {
        if (tile >= tiles) continue;
        NEXTOKEN_UNROLL
        for (int p = 0; p < PARTS; ++p) {
          block.own([&](int t) {
            const uint32_t* const words = codes_of(stage, tile, t % WARP, u * 32 + p * 16);
            for (int h = 0; h < HALVES; ++h) b[t].v[h] = words[4 * h];
            for (int i = 0; i < 4; ++i) c[t].v[i] = (int)bits_of(START);
          });
          block.multiply_add(c, a[p], b);
          block.own([&](int t) {
            for (int j = 0; j < 2; ++j) {
              const int token = tile * TILE_TOKENS + t % 4 * 2 + j;
              const float scale = stage.scale[token][u], scaled_sum = F::HAS_MIN ? stage.scaled_sum[token][u] : 0.0f;
              for (int i = 0; i < 2; ++i) {
                float& sum = sums[t].tile[tile].v[2 * i + j];
                sum = fma1(rows[p][t].scale[i] * scale, float_of_bits((uint32_t)c[t].v[2 * i + j]) - START, sum);
                if (F::HAS_MIN) sum = fma1(rows[p][t].minimum[i], scaled_sum, sum);
              }
            }
          });
        }
      }
    }
  }
};

/// A block of 256 a step.
template <class F>
struct Steps256 {
  static constexpr int K = 256, HALVES = F::GROUPS / 4;
  template <int TOKENS>
  struct alignas(16) Stage {
    static constexpr int K = Steps256::K;
    int8_t codes[TOKENS][K + 16];
    int sum[F::HAS_MIN ? TOKENS : 1][16 + 4]; // of sixteen codes each
    float scale[TOKENS];
  };

  template <int TOKENS>
  static NEXTOKEN_HD void fetch(Stage<TOKENS>& to, const Activations& in, int64_t k, int64_t first, int64_t first_token,
                                int n, int t, int threads) {
    fetch_codes<TOKENS>(to, in, k, first, first_token, n, t, threads);
    for (int i = t; F::HAS_MIN && i < TOKENS * 4; i += threads) {
      const int64_t token = first_token + (i / 4 < n ? i / 4 : n - 1);
      copy_to_shared<16>(&to.sum[i / 4][i % 4 * 4], in.sum + token * in.sum_stride + first / 16 + i % 4 * 4);
    }
    for (int i = t; i < TOKENS; i += threads) {
      const int64_t token = first_token + (i < n ? i : n - 1);
      copy_to_shared<4>(&to.scale[i], in.scale + token * in.scale_stride + first / 256);
    }
  }

  template <int TILES, class Block, class Stage>
  static NEXTOKEN_KERNEL void multiply(Block& block, typename Block::template Local<const uint8_t*>& panel,
                                       const Stage& stage, int64_t first, int64_t, int tiles,
                                       typename Block::template Local<WarpSums<TILES>>& sums) {
    struct Totals {
      FragmentC tile[TILES];
    };
    struct Rows {
      LaneCodes<F> codes[2];
    };
    typename Block::template Local<Totals> totals;
    typename Block::template Local<Rows> rows;
    typename Block::template Local<FragmentA<HALVES>> a;
    typename Block::template Local<FragmentB<HALVES>> b;
    typename Block::template Local<FragmentC> c;
    const int64_t at = first / 256 * F::BLOCK_BYTES;
    block.own([&](int t) {
      for (FragmentC& tile : totals[t].tile) tile = {};
    });
    for (int part = 0; part < 4; ++part) {
      block.own([&](int t) {
        for (int i = 0; i < 2; ++i) rows[t].codes[i].load(panel[t] + at, part, t % 4, t % WARP / 4 + 8 * i);
      });
      NEXTOKEN_UNROLL
      for (int s = 0; s < F::SUBS; ++s) {
        const int sub = F::sub_block(part, s);
        block.own([&](int t) {
          for (int h = 0; h < HALVES; ++h)
            for (int i = 0; i < 2; ++i) a[t].v[2 * h + i] = less_zero<F::ZERO>(rows[t].codes[i].codes(s, h));
        });
        NEXTOKEN_UNROLL
        for (int tile = 0; tile < TILES; ++tile) {
          if (tile >= tiles) continue;
          block.own([&](int t) {
            const uint32_t* const words = codes_of(stage, tile, t % WARP, sub * F::GROUPS * 4);
            for (int h = 0; h < HALVES; ++h) b[t].v[h] = words[4 * h];
            c[t] = {};
          });
          block.multiply_add(c, a, b);
          block.own([&](int t) {
            for (int i = 0; i < 4; ++i)
              totals[t].tile[tile].v[i] += sub_scale<F>(panel[t] + at, sub, t % WARP / 4 + i / 2 * 8) * c[t].v[i];
          });
        }
      }
    }
    block.own([&](int t) {
      const uint8_t* const weights = panel[t] + at;
      const int row = t % WARP / 4;
      RowPair pair{};
      for (int i = 0; i < 2; ++i) {
        pair.scale[i] = F::scale(weights, row + 8 * i);
        if (F::HAS_MIN) pair.minimum[i] = half_at(weights + F::MIN_SCALE + (row + 8 * i) * 2);
      }
      NEXTOKEN_UNROLL
      for (int tile = 0; tile < TILES; ++tile) {
        if (tile >= tiles) continue;
        for (int j = 0; j < 2; ++j) {
          const int token = tile * TILE_TOKENS + t % 4 * 2 + j;
          for (int i = 0; i < 2; ++i) {
            float& sum = sums[t].tile[tile].v[2 * i + j];
            sum = fma1(pair.scale[i] * stage.scale[token], (float)totals[t].tile[tile].v[2 * i + j], sum);
            if (!F::HAS_MIN) continue;
            const int minima = total_minimum<F>(weights, row + 8 * i, stage.sum[token]);
            sum = fma1(-(pair.minimum[i] * stage.scale[token]), (float)minima, sum);
          }
        }
      }
    });
  }
};

/// Grid: divide_up(panels of all parts, WARPS) x spans of 8 TILES tokens.
template <class Steps, int WARPS, int TILES>
struct MatmulTiles {
  using Args = MatmulArgs;
  static constexpr int THREADS = WARPS * WARP, TOKENS = TILES * TILE_TOKENS;
  using Stage = typename Steps::template Stage<TOKENS>;
  static constexpr int64_t SHARED_BYTES = 2 * (int64_t)sizeof(Stage);
  static_assert(SHARED_BYTES <= 48 * 1024, "what every card has without being asked");

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    Stage* const stages = block.template shared<Stage>(2);
    const TokenSpan<TOKENS> span(a, block.y());
    const int64_t first_token = span.first;
    const int n = span.n, tiles = (n + TILE_TOKENS - 1) / TILE_TOKENS;
    if (n == 0) return;
    typename Block::template Local<const uint8_t*> panel;
    typename Block::template Local<WarpSums<TILES>> sums;
    block.each([&](int t) {
      // A warp past the last panel computes that one again, and keeps it to itself.
      const int64_t own = block.x() * WARPS + t / WARP, last = a.n_panels - 1;
      const MatmulPart& part = a.parts[part_of(a, own < last ? own : last)];
      panel[t] = span.panels(part) + ((own < last ? own : last) - part.first_panel) * part.panel_bytes;
      for (FragmentF& tile : sums[t].tile) tile = {};
      Steps::template fetch<TOKENS>(stages[0], a.in, a.k, 0, first_token, n, t, THREADS);
      copies_done();
    });
    int current = 0;
    for (int64_t first = 0; first < a.k; first += Steps::K, current = 1 - current) {
      block.own([&](int t) {
        if (first + Steps::K < a.k)
          Steps::template fetch<TOKENS>(stages[1 - current], a.in, a.k, first + Steps::K, first_token, n, t, THREADS);
      });
      Steps::template multiply<TILES>(block, panel, stages[current], first, a.k, tiles, sums);
      block.each([&](int) { copies_done(); });
    }
    block.own([&](int t) {
      const int64_t own = block.x() * WARPS + t / WARP;
      if (own >= a.n_panels) return;
      float* const out = TokenSpan<TOKENS>(a, block.y()).out; // again: registers are scarce until here
      const MatmulPart& part = a.parts[part_of(a, own)];
      const int64_t first_row = (own - part.first_panel) * PANEL_ROWS + t % WARP / 4;
      NEXTOKEN_UNROLL
      for (int tile = 0; tile < TILES; ++tile) {
        for (int i = 0; i < 4; ++i) {
          const int64_t row = first_row + i / 2 * 8;
          const int token = tile * TILE_TOKENS + t % 4 * 2 + i % 2;
          if (token < n && row < part.n_rows) out[token * a.out_stride + part.column + row] = sums[t].tile[tile].v[i];
        }
      }
    });
  }
};

} // namespace nextoken::cuda
