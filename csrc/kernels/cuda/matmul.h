// Weights times activations. A block of threads computes a panel of 16 output rows for up to T tokens. Its first
// threads read weights with wide loads and compute, in any order, what is exact in any order (or has an order of its
// own): the terms of a step. Meanwhile others, one a row and token, add the terms of the step before, in the order that
// the contract fixes. Two buffers of shared memory lie between them.
#pragma once
#include "kernels/cuda/matmul_args.h"
#include "kernels/cuda/matmul_terms.h"

namespace nextoken::cuda {

/// Grid: panels of all parts x spans of T tokens.
template <class Terms, int T>
struct Matmul {
  using Args = MatmulArgs;
  static constexpr int THREADS = TERM_THREADS + (16 * T + WARP - 1) / WARP * WARP;
  using Buffer = typename Terms::template Buffer<T>;
  static constexpr int64_t SHARED_BYTES = 2 * (int64_t)sizeof(Buffer);
  static_assert(SHARED_BYTES <= 48 * 1024, "what every card has without being asked");

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    Buffer* const buffers = block.template shared<Buffer>(2);
    const MatmulPart& part = a.parts[part_of(a, block.x())];
    const TokenSpan<T> span(a, block.y());
    const int n = span.n;
    if (n == 0) return;
    const int64_t panel = block.x() - part.first_panel, first_token = span.first;
    const uint8_t* const weights = span.panels(part) + panel * part.panel_bytes;
    const int64_t units = Terms::units(a.k), steps = divide_up(units, Terms::STEP);

    typename Block::template Local<float> sum;
    block.own([&](int t) { sum[t] = 0.0f; });
    for (int64_t s = 0; s <= steps; ++s) {
      block.each([&](int t) {
        if (t < TERM_THREADS) {
          if (s < steps)
            Terms::template compute<T>(weights, a.in, a.k, s * Terms::STEP, first_token, n, t, buffers[s % 2]);
          return;
        }
        const int row = (t - TERM_THREADS) % 16, token = (t - TERM_THREADS) / 16;
        if (s == 0 || token >= n) return;
        const int64_t first = (s - 1) * Terms::STEP, left = units - first;
        const int filled = (int)(left < Terms::STEP ? left : Terms::STEP);
        sum[t] =
            Terms::template add<T>(buffers[(s - 1) % 2], a.in, first, filled, first_token + token, token, row, sum[t]);
      });
    }
    block.own([&](int t) {
      const int row = (t - TERM_THREADS) % 16, token = (t - TERM_THREADS) / 16;
      if (t < TERM_THREADS || token >= n || panel * PANEL_ROWS + row >= part.n_rows) return;
      span.out[token * a.out_stride + part.column + panel * PANEL_ROWS + row] = sum[t];
    });
  }
};

} // namespace nextoken::cuda
