// What a card computes at best: multiply-adds from registers, of the instructions that the products use.
#pragma once
#include <type_traits>

#include "kernels/cuda/block.h"

namespace nextoken::cuda {

struct LimitArgs {
  int64_t steps;
  float* out; // [blocks][threads]
};

/// Eight chains of fma a thread. Grid: any.
struct FloatLimitKernel {
  using Args = LimitArgs;
  static constexpr int THREADS = 256, CHAINS = 8;
  static constexpr double MACS_A_STEP = THREADS * CHAINS; // of a block

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const float x = 1.0f / (float)(t + 2), y = (float)t;
      float sums[CHAINS] = {};
      for (int64_t s = 0; s < a.steps; ++s)
        for (int i = 0; i < CHAINS; ++i) sums[i] = fma1(sums[i], x, y + (float)i);
      float total = 0.0f;
      for (int i = 0; i < CHAINS; ++i) total += sums[i];
      a.out[block.x() * THREADS + t] = total;
    });
  }
};

/// Four tiles of tensor cores a warp, of int8 or, where Sums are floats, of bf16. Grid: any.
template <class Sums>
struct TensorLimitKernel {
  using Args = LimitArgs;
  static constexpr int THREADS = 256, TILES = 4;
  static constexpr double MACS_A_STEP =
      THREADS / WARP * TILES * (16.0 * 8 * (std::is_same_v<Sums, FragmentF> ? 16 : 32));

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    typename Block::template Local<FragmentA<2>> weights;
    typename Block::template Local<FragmentB<2>> codes;
    typename Block::template Local<Sums> sums[TILES];
    block.own([&](int t) {
      for (uint32_t& word : weights[t].v) word = 0x01010101u * (uint32_t)(t % 8);
      for (uint32_t& word : codes[t].v) word = 0x01010101u * (uint32_t)(t % 5);
      NEXTOKEN_UNROLL
      for (int i = 0; i < TILES; ++i) sums[i][t] = {};
    });
    for (int64_t s = 0; s < a.steps; ++s) {
      NEXTOKEN_UNROLL
      for (int i = 0; i < TILES; ++i) block.multiply_add(sums[i], weights, codes);
    }
    block.own([&](int t) {
      float total = 0.0f;
      NEXTOKEN_UNROLL
      for (int i = 0; i < TILES; ++i) total += (float)(sums[i][t].v[0] + sums[i][t].v[3]);
      a.out[block.x() * THREADS + t] = total;
    });
  }
};
using Int8LimitKernel = TensorLimitKernel<FragmentC>;
using Bf16LimitKernel = TensorLimitKernel<FragmentF>;

} // namespace nextoken::cuda
