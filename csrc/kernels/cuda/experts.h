// What mixtures of experts need beside products: a row's parts added up in the order of its route, and a part with a
// sigmoid for its weight. See kernels/cpu_experts.cpp.
#pragma once
#include "kernels/cuda/route.h"

namespace nextoken::cuda {

/// x[places[i]] *= weights[i]. Grid: pairs x divide_up(n, THREADS).
struct WeighKernel {
  struct Args {
    float* x;
    int64_t x_stride, n;
    const int64_t* places; // [pairs]
    const float* weights;  // [pairs]
  };
  static constexpr int THREADS = 256;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t c = block.y() * block.threads() + t;
      if (c >= a.n) return;
      float& x = a.x[a.places[block.x()] * a.x_stride + c];
      x = x * a.weights[block.x()];
    });
  }
};

/// y[t] = sum over i of weights[t][i] * parts[places[t][i]]. Grid: rows x divide_up(n, THREADS).
struct CombineKernel {
  struct Args {
    const float* parts;
    int64_t parts_stride, n, n_used;
    const int64_t* places; // [rows][n_used]
    const float* weights;  // [rows][n_used], or null: each is 1
    float* y;
    int64_t y_stride;
  };
  static constexpr int THREADS = 256;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t c = block.y() * block.threads() + t;
      if (c >= a.n) return;
      float sum = 0.0f;
      for (int64_t i = 0; i < a.n_used; ++i) {
        const int64_t at = block.x() * a.n_used + i;
        float part = a.parts[a.places[at] * a.parts_stride + c];
        if (a.weights) part = part * a.weights[at];
        sum = i == 0 ? part : sum + part;
      }
      a.y[block.x() * a.y_stride + c] = sum;
    });
  }
};

/// y += sigmoid(score) * part, the sigmoid as the softmax of (score, 0). Grid: rows x divide_up(n, THREADS).
struct AddGatedKernel {
  struct Args {
    const float* score;
    int64_t score_stride;
    const float* part;
    int64_t part_stride, n;
    float* y;
    int64_t y_stride;
  };
  static constexpr int THREADS = 256;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t c = block.y() * block.threads() + t;
      if (c >= a.n) return;
      const float weight = sigmoid_of(a.score[block.x() * a.score_stride]);
      float& y = a.y[block.x() * a.y_stride + c];
      y = y + a.part[block.x() * a.part_stride + c] * weight;
    });
  }
};

} // namespace nextoken::cuda
