// Softmax of rows, and the index of the largest: one block a row. See kernels/cpu/softmax.inl.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

struct SoftmaxKernel {
  struct Args {
    const float* x;
    float* y; // may be x
    int64_t n;
  };
  static constexpr int THREADS = 256;
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) {
    return shared_size(divide_up(a.n, 1024) * 4) + shared_size(THREADS / WARP * 4);
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t chunks = divide_up(a.n, 1024), at_once = THREADS / 16;
    const float* const x = a.x + block.x() * a.n;
    float* const y = a.y + block.x() * a.n;
    float* const chunk_sums = block.template shared<float>(chunks);
    float* const maxima = block.template shared<float>(THREADS / WARP);
    typename Block::template Local<float> value, most;
    block.own([&](int t) {
      value[t] = MINUS_INFINITY;
      for (int64_t i = t; i < a.n; i += THREADS) value[t] = max1(x[i], value[t]);
    });
    fold_max(block, value, WARP);
    block.each([&](int t) {
      if (t % WARP == 0) maxima[t / WARP] = value[t];
    });
    block.own([&](int t) {
      most[t] = maxima[0];
      for (int w = 1; w < THREADS / WARP; ++w) most[t] = max1(maxima[w], most[t]);
    });
    for (int64_t first = 0; first < chunks; first += at_once) {
      block.own([&](int t) {
        const int64_t begin = (first + t / 16) * 1024, end = begin + 1024 < a.n ? begin + 1024 : a.n;
        value[t] = 0.0f;
        for (int64_t i = begin + t % 16; i < end; i += 16) {
          const float e = exp1(x[i] - most[t]);
          y[i] = e;
          value[t] = value[t] + e;
        }
      });
      fold_add16(block, value);
      block.each([&](int t) {
        if (t % 16 == 0 && first + t / 16 < chunks) chunk_sums[first + t / 16] = value[t];
      });
    }
    block.own([&](int t) {
      double total = 0.0;
      for (int64_t c = 0; c < chunks; ++c) total = total + (double)chunk_sums[c];
      for (int64_t i = t; i < a.n; i += THREADS) y[i] = divide(y[i], (float)total);
    });
  }
};

/// The lowest index of the largest; NaN never wins; -1 if there is nothing else.
struct ArgmaxKernel {
  struct Args {
    const float* x; // rows of n
    int64_t n, stride;
    int64_t* best;
  };
  static constexpr int THREADS = 256;
  struct Candidate {
    float value;
    int64_t index;
  };
  static NEXTOKEN_HD int64_t shared_bytes(const Args&) { return THREADS * (int64_t)sizeof(Candidate); }
  static NEXTOKEN_HD bool better(const Candidate& a, const Candidate& b) {
    if (a.index < 0) return false;
    return b.index < 0 || a.value > b.value || (a.value == b.value && a.index < b.index);
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const float* const x = a.x + block.x() * a.stride;
    Candidate* const found = block.template shared<Candidate>(THREADS);
    block.each([&](int t) {
      Candidate best = {0.0f, -1};
      for (int64_t i = t; i < a.n; i += THREADS) {
        const Candidate c = {x[i], i};
        if (c.value == c.value && better(c, best)) best = c;
      }
      found[t] = best;
    });
    for (int half = THREADS / 2; half >= 1; half /= 2) {
      block.each([&](int t) {
        if (t < half && better(found[t + half], found[t])) found[t] = found[t + half];
      });
    }
    block.own([&](int t) {
      if (t == 0) a.best[block.x()] = found[0].index;
    });
  }
};

} // namespace nextoken::cuda
