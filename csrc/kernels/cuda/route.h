// Which experts a row takes, and with which weights: kernels/cpu_experts.cpp, on the card, so that nothing of a step
// waits for the processor. Then rows are grouped by the expert that they take, so that each expert's weights are read
// once.
#pragma once
#include "kernels/cuda/matmul_args.h"

namespace nextoken::cuda {

/// y = softmax of x, by a block of one warp; room for a sum of each 1024.
template <class Block>
NEXTOKEN_KERNEL void softmax_row(Block& block, const float* x, float* y, int64_t n, float* chunk_sums) {
  const int64_t chunks = divide_up(n, 1024), at_once = WARP / 16;
  typename Block::template Local<float> value, most;
  block.own([&](int t) {
    value[t] = MINUS_INFINITY;
    for (int64_t i = t; i < n; i += WARP) value[t] = max1(x[i], value[t]);
  });
  fold_max(block, value, WARP);
  block.own([&](int t) { most[t] = value[t]; });
  for (int64_t first = 0; first < chunks; first += at_once) {
    block.own([&](int t) {
      const int64_t begin = (first + t / 16) * 1024, end = begin + 1024 < n ? begin + 1024 : n;
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
    for (int64_t i = t; i < n; i += WARP) y[i] = divide(y[i], (float)total);
  });
}

/// The softmax of (score, 0), of which it is the first.
NEXTOKEN_HD float sigmoid_of(float score) {
  const float most = max1(score, 0.0f), e = exp1(score - most);
  return divide(e, e + exp1(0.0f - most));
}

/// The lowest index of the largest, for all threads of a warp; NaN never wins, -1 if there is nothing else.
template <class Block>
NEXTOKEN_KERNEL void best_of(Block& block, const float* x, int64_t n, typename Block::template Local<int>& best) {
  typename Block::template Local<float> value, other_value;
  typename Block::template Local<int> other;
  const auto take = [&](int t, float v, int i) {
    if (i < 0 || v != v) return;
    if (best[t] >= 0 && !(v > value[t] || (v == value[t] && i < best[t]))) return;
    value[t] = v;
    best[t] = i;
  };
  block.each([&](int t) { // a barrier behind it: x may change afterwards
    value[t] = 0.0f;
    best[t] = -1;
    for (int64_t i = t; i < n; i += WARP) take(t, x[i], (int)i);
  });
  for (int mask = WARP / 2; mask >= 1; mask /= 2) {
    block.shuffle_xor(other_value, value, mask);
    block.shuffle_xor(other, best, mask);
    block.own([&](int t) { take(t, other_value[t], other[t]); });
  }
}

/// One warp a row. Grid: rows.
struct RouteKernel {
  struct Args {
    const float* scores;
    int64_t stride, n_experts, n_used, n_groups, n_groups_used;
    bool sigmoid, normalized;
    float scale;
    const float* bias; // [n_experts] or null
    // Of each row and expert that it takes, [rows][n_used]:
    int32_t* experts;
    float* weights;
    // The same as groups of one token each, where nobody else puts them into an order; or null.
    MatmulGroup* groups;
    int64_t* places;
    int* failed; // becomes 1 if a score is not finite
  };
  static constexpr int THREADS = WARP;
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) {
    return 2 * shared_size(a.n_experts * 4) + shared_size(a.n_groups * 4) +
           shared_size(divide_up(a.n_experts, 1024) * 4);
  }

  /// A group's best expert, or with `two` its two best added up.
  static NEXTOKEN_HD float group_score(const float* choice, int64_t n, bool two) {
    float best = MINUS_INFINITY, second = MINUS_INFINITY;
    for (int64_t i = 0; i < n; ++i) {
      second = max1(min1(choice[i], best), second);
      best = max1(choice[i], best);
    }
    return two ? best + second : best;
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t n = a.n_experts, group_size = n / a.n_groups, at = block.x() * a.n_used;
    const float* const x = a.scores + block.x() * a.stride;
    float* const p = block.template shared<float>(n);
    float* const choice = block.template shared<float>(n);
    float* const of_groups = block.template shared<float>(a.n_groups);
    float* const chunk_sums = block.template shared<float>(divide_up(n, 1024));
    typename Block::template Local<int> best;
    typename Block::template Local<float> sum;
    const bool by_score = a.sigmoid && !a.bias && a.n_groups_used == a.n_groups;
    if (!a.sigmoid) softmax_row(block, x, p, n, chunk_sums);
    block.each([&](int t) { // what a thread wrote of p it reads here
      for (int64_t e = t; e < n; e += WARP) {
        if (!finite1(x[e])) *a.failed = 1;
        if (a.sigmoid) p[e] = sigmoid_of(x[e]);
        choice[e] = by_score ? x[e] : a.bias ? p[e] + a.bias[e] : p[e];
      }
    });
    if (a.n_groups_used < a.n_groups) {
      block.each([&](int t) {
        for (int64_t g = t; g < a.n_groups; g += WARP)
          of_groups[g] = group_score(choice + g * group_size, group_size, a.sigmoid);
      });
      for (int64_t i = 0; i < a.n_groups_used; ++i) {
        best_of(block, of_groups, a.n_groups, best);
        block.each([&](int t) {
          if (t == 0 && best[t] >= 0) of_groups[best[t]] = MINUS_INFINITY; // which marks it as chosen
        });
      }
      block.each([&](int t) {
        for (int64_t e = t; e < n; e += WARP)
          if (of_groups[e / group_size] != MINUS_INFINITY) choice[e] = MINUS_INFINITY;
      });
    }
    block.own([&](int t) { sum[t] = 0.0f; });
    for (int64_t i = 0; i < a.n_used; ++i) {
      best_of(block, choice, n, best);
      block.each([&](int t) {
        if (t != 0) return;
        const int chosen = best[t] < 0 ? 0 : best[t]; // of numbers that are none the pass fails
        a.experts[at + i] = chosen;
        a.weights[at + i] = p[chosen];
        sum[t] = sum[t] + p[chosen];
        choice[chosen] = MINUS_INFINITY;
        if (!a.groups) return;
        a.groups[at + i] = {chosen, (int32_t)(at + i), 1};
        a.places[at + i] = at + i;
      });
    }
    block.own([&](int t) {
      if (t != 0) return;
      for (int64_t i = 0; i < a.n_used; ++i) {
        float& weight = a.weights[at + i];
        if (a.normalized) weight = divide(weight, sum[t] + 1e-20f);
        if (a.scale != 1.0f) weight = weight * a.scale;
      }
    });
  }
};

/// Pairs of a row and an expert, side by side those of an expert, in groups of at most group_tokens. Grid: 1.
struct GroupKernel {
  struct Args {
    const int32_t* experts; // [pairs], the row of each is its index / n_used
    int64_t pairs, n_used, n_experts, group_tokens;
    int64_t* places;     // [pairs] of each pair
    int64_t* rows;       // [pairs] of each place
    int32_t* expert_of;  // [pairs] of each place
    MatmulGroup* groups; // [n_groups], those that are left over with no token
    int64_t n_groups;
  };
  static constexpr int THREADS = 256;
  struct Count {
    int32_t pairs, groups;
  };
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) { return shared_size(a.n_experts * (int64_t)sizeof(Count)); }
  /// As many groups as there can be.
  static NEXTOKEN_HD int64_t most_groups(int64_t pairs, int64_t n_experts, int64_t group_tokens) {
    const int64_t most = n_experts + pairs / group_tokens;
    return pairs < most ? pairs : most;
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    Count* const counts = block.template shared<Count>(a.n_experts);
    const int32_t pairs = (int32_t)a.pairs, n_experts = (int32_t)a.n_experts, most = (int32_t)a.group_tokens;
    block.each([&](int t) {
      for (int32_t e = t; e < n_experts; e += THREADS) {
        int32_t n = 0;
        for (int32_t i = 0; i < pairs; ++i) n += a.experts[i] == e;
        counts[e] = {n, (n + most - 1) / most};
      }
    });
    block.own([&](int t) {
      for (int32_t e = t; e < n_experts; e += THREADS) {
        int32_t first = 0, group = 0;
        for (int32_t before = 0; before < e; ++before) {
          first += counts[before].pairs;
          group += counts[before].groups;
        }
        int32_t place = first;
        for (int32_t i = 0; i < pairs; ++i) {
          if (a.experts[i] != e) continue;
          a.places[i] = place;
          a.rows[place] = i / (int32_t)a.n_used;
          a.expert_of[place++] = e;
        }
        for (; first < place; first += most)
          a.groups[group++] = {e, first, place - first < most ? place - first : most};
        if (e == n_experts - 1)
          while (group < a.n_groups) a.groups[group++] = {0, 0, 0};
      }
    });
  }
};

} // namespace nextoken::cuda
