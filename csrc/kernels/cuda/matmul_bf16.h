// Products with weights of bf16, on tensor cores, for any number of tokens. Their order is the card's own, and the same
// in both kernels below:
//   k is cut into segments of 256, the last filled up with zeros; a segment's sum is a chain of sixteen mma.m16n8k16
//   from +0, k ascending; the segments' sums are added in order, one float addition each, from +0.
// In an mma k stands as in panels (layout::bf16_element), whose words are two elements of a fragment each: activations
// stand in the same order (forms.h), so that nothing is moved between registers. A thread has rows 2g and 2g + 1 of a
// panel as rows g and g + 8 of its fragment: they are neighbours in memory.
// ptxas moves a load to where its register is needed, and waits there: barriers of a warp keep weights on their way.
#pragma once
#include "kernels/cuda/matmul_args.h"
#include "kernels/layout.h"

namespace nextoken::cuda {

constexpr int64_t SEGMENT = 256, MMA_K = 16;
constexpr int MMA_WORDS = MMA_K / 2, SEGMENT_MMAS = SEGMENT / MMA_K;

struct alignas(8) WordPair {
  uint32_t v[2];
};

/// Lines of a panel: two of each four k.
NEXTOKEN_HD int lines_of(int64_t k) { return (int)divide_up(k, 4) * 2; }

/// A thread's weights of the mma whose first line is `line`. Past the last two lines these again, for zeros to
/// multiply: loads that no branch holds back are all on their way at once.
NEXTOKEN_HD FragmentA<2> weights_of(const uint8_t* panel, int lines, int line, int lane) {
  const int own = line + lane % 4 * 2, last = lines - 2;
  const uint8_t* const words = panel + (own < last ? own : last) * layout::LINE + lane / 4 * 8;
  const WordPair first = *(const WordPair*)words, second = *(const WordPair*)(words + layout::LINE);
  return {{first.v[0], first.v[1], second.v[0], second.v[1]}};
}

/// A thread's activations of the mma whose first word is x.
NEXTOKEN_HD FragmentB<2> activations_of(const uint32_t* x, int lane) {
  const WordPair words = *(const WordPair*)(x + lane % 4 * 2);
  return {{words.v[0], words.v[1]}};
}

/// A token's words; there are as many as whole segments have.
NEXTOKEN_HD const uint32_t* words_of(const Activations& in, int64_t token) {
  return (const uint32_t*)(in.x + token * in.x_stride);
}

/// Up to eight tokens. The warps of a block take the segments of a panel by turns, and their sums meet in shared
/// memory. Grid: panels of all parts x spans of eight tokens.
struct MatmulBf16 {
  using Args = MatmulArgs;
  static constexpr int WARPS = 8, THREADS = WARPS * WARP;
  static constexpr int64_t MOST = 64; // segments whose sums shared memory has room for
  struct Sums {
    float v[TILE_TOKENS][PANEL_ROWS];
  };
  static NEXTOKEN_HD int64_t at_once(int64_t k) {
    const int64_t segments = divide_up(k, SEGMENT);
    return segments < MOST ? segments : MOST;
  }
  static int64_t shared_bytes(int64_t k) { return at_once(k) * (int64_t)sizeof(Sums); }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    Sums* const sums = block.template shared<Sums>(at_once(a.k));
    const MatmulPart& part = a.parts[part_of(a, block.x())];
    const TokenSpan<TILE_TOKENS> span(a, block.y());
    const int n = span.n;
    if (n == 0) return;
    const int64_t panel = block.x() - part.first_panel, first_token = span.first;
    const uint8_t* const weights = span.panels(part) + panel * part.panel_bytes;
    const int64_t segments = divide_up(a.k, SEGMENT);
    const int lines = lines_of(a.k);

    typename Block::template Local<float> total;
    block.own([&](int t) { total[t] = 0.0f; });
    for (int64_t first = 0; first < segments; first += MOST) {
      const int64_t end = first + MOST < segments ? first + MOST : segments;
      for (int64_t begin = first; begin < end; begin += WARPS) {
        typename Block::template Local<const uint32_t*> words;
        typename Block::template Local<FragmentA<2>> w[SEGMENT_MMAS];
        typename Block::template Local<FragmentB<2>> x;
        typename Block::template Local<FragmentF> sum;
        block.each_of_warp([&](int t) {
          // A segment past the last, and a token, are the last again, and are kept to themselves.
          const int64_t own = begin + t / WARP, segment = own < end ? own : end - 1;
          const int token = t % WARP / 4;
          words[t] = words_of(a.in, first_token + (token < n ? token : n - 1)) + segment * (SEGMENT / 2);
          NEXTOKEN_UNROLL
          for (int i = 0; i < SEGMENT_MMAS; ++i)
            w[i][t] = weights_of(weights, lines, (int)(segment * SEGMENT_MMAS + i) * MMA_WORDS, t % WARP);
          sum[t] = {};
        });
        NEXTOKEN_UNROLL
        for (int i = 0; i < SEGMENT_MMAS; ++i) {
          block.own([&](int t) { x[t] = activations_of(words[t] + i * MMA_WORDS, t % WARP); });
          block.multiply_add(sum, w[i], x);
        }
        block.own([&](int t) {
          const int64_t own = begin + t / WARP;
          if (own >= end) return;
          for (int i = 0; i < 4; ++i) sums[own - first].v[t % 4 * 2 + i % 2][t % WARP / 4 * 2 + i / 2] = sum[t].v[i];
        });
      }
      block.each([](int) {});
      block.each([&](int t) {
        if (t >= n * PANEL_ROWS) return;
        for (int64_t s = 0; s < end - first; ++s) total[t] = total[t] + sums[s].v[t / PANEL_ROWS][t % PANEL_ROWS];
      });
    }
    block.own([&](int t) {
      const int64_t row = panel * PANEL_ROWS + t % PANEL_ROWS;
      if (t >= n * PANEL_ROWS || row >= part.n_rows) return;
      span.out[t / PANEL_ROWS * a.out_stride + part.column + row] = total[t];
    });
  }
};

/// More tokens. A warp has PANELS panels, and of the block's tiles of eight tokens every TOKEN_WARPS-th. Activations
/// stand in shared memory, MMAS steps of k at a time, and the next are on their way meanwhile; so are weights, in
/// registers. Grid: spans of TOKENS tokens x divide_up(panels of all parts, BLOCK_PANELS): blocks that run side by side
/// read the same weights.
template <int PANELS, int ROW_WARPS, int TOKEN_WARPS, int TILES, int MMAS>
struct MatmulBf16Tiles {
  using Args = MatmulArgs;
  static constexpr int THREADS = ROW_WARPS * TOKEN_WARPS * WARP, BLOCK_PANELS = ROW_WARPS * PANELS;
  static constexpr int TOKENS = TOKEN_WARPS * TILES * TILE_TOKENS, K = MMAS * MMA_K, WORDS = K / 2;
  struct alignas(16) Stage {
    uint32_t x[TOKENS][WORDS + 8]; // 8 more: what half a warp reads stands in 32 banks
  };
  static constexpr int64_t SHARED_BYTES = 2 * (int64_t)sizeof(Stage);
  static_assert(SHARED_BYTES <= 48 * 1024, "what every card has without being asked");
  static_assert(SEGMENT % K == 0 && THREADS % (WORDS / 4) == 0, "segments are whole stages");

  /// A token past the last is the last again.
  static NEXTOKEN_HD void fetch(Stage& to, const Activations& in, int64_t first, int64_t first_token, int n, int t) {
    constexpr int PIECES = WORDS / 4;
    static_assert(TOKENS * PIECES % THREADS == 0, "as many for each thread");
    NEXTOKEN_UNROLL
    for (int i = 0; i < TOKENS * PIECES / THREADS; ++i) {
      const int token = (i * THREADS + t) / PIECES, piece = t % PIECES;
      const uint32_t* const words = words_of(in, first_token + (token < n ? token : n - 1));
      copy_to_shared<16>(to.x[token] + piece * 4, words + first / 2 + piece * 4);
    }
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    struct Panels {
      const uint8_t* of[PANELS];
    };
    Stage* const stages = block.template shared<Stage>(2);
    const TokenSpan<TOKENS> span(a, block.x());
    const int64_t first_token = span.first, end = divide_up(a.k, SEGMENT) * SEGMENT;
    const int n = span.n, lines = lines_of(a.k), tiles = (n + TILE_TOKENS - 1) / TILE_TOKENS;
    if (n == 0) return;
    typename Block::template Local<Panels> panels;
    typename Block::template Local<FragmentA<2>> w[MMAS][PANELS];
    typename Block::template Local<FragmentB<2>> x;
    typename Block::template Local<FragmentF> sum[PANELS][TILES], total[PANELS][TILES];
    block.each([&](int t) {
      NEXTOKEN_UNROLL
      for (int p = 0; p < PANELS; ++p) {
        // A panel past the last is that one again, and is kept to itself.
        const int64_t own = own_panel(block.y(), t, p), last = a.n_panels - 1;
        const MatmulPart& part = a.parts[part_of(a, own < last ? own : last)];
        panels[t].of[p] = span.panels(part) + ((own < last ? own : last) - part.first_panel) * part.panel_bytes;
        NEXTOKEN_UNROLL
        for (int i = 0; i < MMAS; ++i) w[i][p][t] = weights_of(panels[t].of[p], lines, i * MMA_WORDS, t % WARP);
        NEXTOKEN_UNROLL
        for (int tile = 0; tile < TILES; ++tile) sum[p][tile][t] = total[p][tile][t] = {};
      }
      fetch(stages[0], a.in, 0, first_token, n, t);
      copies_done();
    });
    int current = 0;
    for (int64_t first = 0; first < end; first += K, current = 1 - current) {
      block.own([&](int t) {
        if (first + K < end) fetch(stages[1 - current], a.in, first + K, first_token, n, t);
      });
      NEXTOKEN_UNROLL
      for (int i = 0; i < MMAS; ++i) {
        NEXTOKEN_UNROLL
        for (int tile = 0; tile < TILES; ++tile) {
          if (tile * TOKEN_WARPS >= tiles) continue;
          block.own([&](int t) {
            const int token = (tile * TOKEN_WARPS + t / WARP / ROW_WARPS) * TILE_TOKENS + t % WARP / 4;
            x[t] = activations_of(stages[current].x[token] + i * MMA_WORDS, t % WARP);
          });
          NEXTOKEN_UNROLL
          for (int p = 0; p < PANELS; ++p) block.multiply_add(sum[p][tile], w[i][p], x);
        }
        block.each_of_warp([&](int t) {
          NEXTOKEN_UNROLL
          for (int p = 0; p < PANELS; ++p)
            w[i][p][t] = weights_of(panels[t].of[p], lines, (int)(first + K) / 2 + i * MMA_WORDS, t % WARP);
        });
      }
      block.each([&](int t) {
        copies_done();
        if ((first + K) % SEGMENT != 0) return;
        NEXTOKEN_UNROLL
        for (int p = 0; p < PANELS; ++p) {
          NEXTOKEN_UNROLL
          for (int tile = 0; tile < TILES; ++tile) {
            for (int i = 0; i < 4; ++i) total[p][tile][t].v[i] = total[p][tile][t].v[i] + sum[p][tile][t].v[i];
            sum[p][tile][t] = {};
          }
        }
      });
    }
    block.own([&](int t) {
      float* const out = TokenSpan<TOKENS>(a, block.x()).out; // again: registers are scarce until here
      NEXTOKEN_UNROLL
      for (int p = 0; p < PANELS; ++p) {
        const int64_t own = own_panel(block.y(), t, p);
        if (own >= a.n_panels) return;
        const MatmulPart& part = a.parts[part_of(a, own)];
        const int64_t first_row = (own - part.first_panel) * PANEL_ROWS + t % WARP / 4 * 2;
        NEXTOKEN_UNROLL
        for (int tile = 0; tile < TILES; ++tile) {
          for (int i = 0; i < 4; ++i) {
            const int64_t row = first_row + i / 2;
            const int token = (tile * TOKEN_WARPS + t / WARP / ROW_WARPS) * TILE_TOKENS + t % 4 * 2 + i % 2;
            if (token < n && row < part.n_rows) out[token * a.out_stride + part.column + row] = total[p][tile][t].v[i];
          }
        }
      }
    });
  }

  static NEXTOKEN_HD int64_t own_panel(int64_t place, int t, int p) {
    return place * BLOCK_PANELS + t / WARP % ROW_WARPS * PANELS + p;
  }
};

} // namespace nextoken::cuda
