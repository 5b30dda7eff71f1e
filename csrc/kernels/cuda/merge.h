// The last step of attention: what a row has of each segment of keys becomes one. See attention.h.
#pragma once
#include "kernels/cuda/attention_segment.h"

namespace nextoken::cuda {

/// y = a row's segments, merged in order. Grid: rows x heads.
struct MergeKernel {
  struct Args {
    Partials partials;
    int64_t n_heads, head_dim, width;
    float* y; // row first_row + x at y + x * y_stride
    int64_t y_stride;
    const float* sinks; // [n_heads] or null: the score of one more key, whose value is zero
  };
  static constexpr int THREADS = 64;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t first = (block.x() * a.n_heads + block.y()) * a.partials.n_segments;
    block.own([&](int t) {
      for (int64_t d = t; d < a.head_dim; d += block.threads()) {
        float most = MINUS_INFINITY, sum = 0.0f, total = 0.0f;
        for (int64_t s = first; s < first + a.partials.n_segments; ++s) {
          const float more = a.partials.sum[s];
          if (more == 0.0f) continue;
          const float m = a.partials.max[s], out = a.partials.out[s * a.width + d];
          if (sum == 0.0f) {
            most = m, sum = more, total = out;
            continue;
          }
          const float both = most > m ? most : m, kept = exp1(most - both), added = exp1(m - both);
          sum = fma1(sum, kept, more * added);
          total = fma1(total, kept, out * added);
          most = both;
        }
        if (a.sinks) {
          const float sink = a.sinks[block.y()], both = most > sink ? most : sink, kept = exp1(most - both);
          sum = fma1(sum, kept, exp1(sink - both));
          total = total * kept;
        }
        a.y[block.x() * a.y_stride + block.y() * a.head_dim + d] = total * (sum == 0.0f ? 0.0f : divide(1.0f, sum));
      }
    });
  }
};

} // namespace nextoken::cuda
