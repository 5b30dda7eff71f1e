// RMS and layer norms, one block a row or head, and what comes right after them. See kernels/cpu/rms_norm.inl and
// layer_norm.inl: sums of chunks of 256 in sixteen lanes, folded, the chunks in order.
#pragma once
#include "kernels/cuda/forms.h"

namespace nextoken::cuda {

struct NormKernel {
  struct Args {
    NormKind kind;
    float eps;
    const float* x; // row r, head h at x + r * x_stride + h * n
    int64_t x_stride, n, heads;
    const float *weight, *bias; // of head h from h * weight_stride on; weight null: ones, bias null: none
    int64_t weight_stride;
    // Where results go, unless null: in place or elsewhere, into rows they are added to, into the forms of `forms`.
    float* y;
    int64_t y_stride;
    float* added_to;
    int64_t added_to_stride;
    Forms forms; // of heads = 1; x null for none
    int* failed; // becomes 1 if the mean is no finite number
  };
  static constexpr int THREADS = 256;
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) { return shared_size(divide_up(a.n, 256) * 4); }

  /// Thread 16 c + l adds chunk c's lane l; `step(sum, x)` in order.
  template <class Block, class Step>
  static NEXTOKEN_KERNEL void total(Block& block, const float* x, int64_t n, float* chunk_sums,
                                    typename Block::template Local<float>& result, Step step) {
    const int64_t chunks = divide_up(n, 256), at_once = block.threads() / 16;
    typename Block::template Local<float> sum;
    for (int64_t first = 0; first < chunks; first += at_once) {
      block.own([&](int t) {
        const int64_t begin = (first + t / 16) * 256, end = begin + 256 < n ? begin + 256 : n;
        sum[t] = 0.0f;
        for (int64_t i = begin + t % 16; i < end; i += 16) sum[t] = step(t, sum[t], x[i]);
      });
      fold_add16(block, sum);
      block.each([&](int t) {
        if (t % 16 == 0 && first + t / 16 < chunks) chunk_sums[first + t / 16] = sum[t];
      });
    }
    block.each([&](int t) { // a barrier behind it: the sums may be written again
      float all = 0.0f;
      for (int64_t c = 0; c < chunks; ++c) all = all + chunk_sums[c];
      result[t] = all;
    });
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t row = block.x() / a.heads, head = block.x() % a.heads;
    const float* const x = a.x + row * a.x_stride + head * a.n;
    const float* const weight = a.weight ? a.weight + head * a.weight_stride : nullptr;
    const float* const bias = a.bias ? a.bias + head * a.weight_stride : nullptr;
    float* const chunk_sums = block.template shared<float>(divide_up(a.n, 256));
    typename Block::template Local<float> mean, scale;
    if (a.kind == NormKind::layer) {
      total(block, x, a.n, chunk_sums, mean, [](int, float sum, float v) { return sum + v; });
      block.own([&](int t) { mean[t] = divide(mean[t], (float)a.n); });
    } else {
      block.own([&](int t) { mean[t] = 0.0f; });
    }
    total(block, x, a.n, chunk_sums, scale, [&](int t, float sum, float v) {
      const float d = a.kind == NormKind::layer ? v - mean[t] : v;
      return fma1(d, d, sum);
    });
    block.own([&](int t) {
      const float variance = divide(scale[t], (float)a.n);
      if (!(variance <= LARGEST_FLOAT)) *a.failed = 1;
      scale[t] = divide(1.0f, sqrt1(variance + a.eps));
    });
    typename Block::template Local<Eight> values;
    for (int64_t base = 0; base < a.n; base += (int64_t)block.threads() * EACH_THREAD) {
      block.own([&](int t) {
        const int64_t column = base + (int64_t)t * EACH_THREAD;
        for (int i = 0; i < EACH_THREAD; ++i) {
          const int64_t c = column + i;
          float v = 0.0f;
          if (c < a.n) {
            v = (a.kind == NormKind::layer ? x[c] - mean[t] : x[c]) * scale[t];
            if (weight) v = v * weight[c];
            if (bias) v = v + bias[c];
            if (a.y) a.y[row * a.y_stride + head * a.n + c] = v;
            if (a.added_to) a.added_to[row * a.added_to_stride + c] += v;
          }
          values[t].v[i] = v;
        }
      });
      if (a.forms.x) write_forms(block, values, a.forms, row, base);
    }
  }
};

} // namespace nextoken::cuda
