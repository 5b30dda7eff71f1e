// Activations in the forms that matmuls multiply with (kernels/hidden.h), written where they are computed.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

/// Rows of a Hidden on the device: as `forms` says (a bit 1 << form each; floats always), k columns of max_k.
struct Forms {
  unsigned forms;
  int64_t k, max_k;
  float* x;
  uint32_t* bf16; // words of two as in a panel (layout::bf16_element), from row to row max_k, zeros up to a whole 256
  int8_t* codes32;
  float *scale32, *scaled_sum32;
  int32_t* sum32;
  int8_t* codes256;
  float* scale256;
  int32_t* sum256;
  int* failed; // becomes 1 if a number is not finite

  NEXTOKEN_HD bool has(ActivationForm form) const { return forms & (1u << (int)form); }
};

/// Neighbouring elements of a row that one thread has in hand.
constexpr int EACH_THREAD = 8;
struct Eight {
  float v[EACH_THREAD];
};

struct Quantized {
  float scale;
  uint32_t words[2]; // eight codes
  int sum;
};

NEXTOKEN_HD float largest_of(const Eight& e) {
  float most = 0.0f;
  for (int i = 0; i < EACH_THREAD; ++i) most = max1(abs1(e.v[i]), most);
  return most;
}

/// amax = max |x| of the block; code = round(x * (127 / amax)). See kernels/cpu/quantize.inl.
NEXTOKEN_HD Quantized quantized(const Eight& e, float amax) {
  const bool zero = !(amax >= SMALLEST_AMAX);
  const float factor = zero ? 0.0f : divide(127.0f, amax);
  Quantized q = {zero ? 0.0f : divide(amax, 127.0f), {0, 0}, 0};
  for (int i = 0; i < EACH_THREAD; ++i) {
    const float whole = round1(e.v[i] * factor);
    const int code = finite1(whole) ? (int)whole : 0; // the pass fails, but not by a conversion
    q.words[i / 4] |= (uint32_t)(uint8_t)code << (i % 4 * 8);
    q.sum += code;
  }
  return q;
}

/// In one store: where the compiler is not told that eight codes stand together, it writes them byte by byte.
NEXTOKEN_HD void store_codes(int8_t* to, const Quantized& q) { memcpy(__builtin_assume_aligned(to, 8), q.words, 8); }

/// k above k + 2, and k + 1 above k + 3
NEXTOKEN_HD void store_bf16(uint32_t* to, const Eight& e) {
  Words words;
  for (int i = 0; i < 4; ++i) {
    const int k = i / 2 * 4 + i % 2;
    words.v[i] = bits_of(round_bf16(e.v[k])) | bits_of(round_bf16(e.v[k + 2])) >> 16;
  }
  *(Words*)to = words;
}

/// Thread t has the elements of `row` from `base` + 8 t on; those past k are +0. Blocks of 256 lie within warps.
template <class Block>
NEXTOKEN_KERNEL void write_forms(Block& block, typename Block::template Local<Eight>& values, const Forms& f,
                                 int64_t row, int64_t base) {
  block.own([&](int t) {
    const int64_t column = base + (int64_t)t * EACH_THREAD;
    bool finite = true;
    for (int i = 0; i < EACH_THREAD && column + i < f.k; ++i) {
      const float x = values[t].v[i];
      finite = finite && finite1(x);
      f.x[row * f.max_k + column + i] = x;
    }
    if (!finite) *f.failed = 1;
    if (f.has(ActivationForm::bf16) && column < divide_up(f.k, 256) * 256)
      store_bf16(f.bf16 + row * f.max_k + column / 2, values[t]);
  });
  typename Block::template Local<float> most;
  typename Block::template Local<Quantized> codes;
  typename Block::template Local<int> sum, other;
  if (f.has(ActivationForm::q32)) {
    block.own([&](int t) { most[t] = largest_of(values[t]); });
    fold_max(block, most, 4);
    block.own([&](int t) {
      codes[t] = quantized(values[t], most[t]);
      sum[t] = codes[t].sum;
    });
    for (int mask = 1; mask <= 2; mask *= 2) {
      block.shuffle_xor(other, sum, mask);
      block.own([&](int t) { sum[t] += other[t]; });
    }
    block.own([&](int t) {
      const int64_t column = base + (int64_t)t * EACH_THREAD, b = row * (f.max_k / 32) + column / 32;
      if (column >= f.k) return;
      store_codes(f.codes32 + row * f.max_k + column, codes[t]);
      if (t % 4 != 0) return;
      f.scale32[b] = codes[t].scale;
      f.sum32[b] = sum[t];
      f.scaled_sum32[b] = codes[t].scale * (float)sum[t];
    });
  }
  if (f.has(ActivationForm::q256)) {
    block.own([&](int t) { most[t] = largest_of(values[t]); });
    fold_max(block, most, WARP);
    block.own([&](int t) {
      codes[t] = quantized(values[t], most[t]);
      sum[t] = codes[t].sum;
    });
    block.shuffle_xor(other, sum, 1);
    block.own([&](int t) {
      const int64_t column = base + (int64_t)t * EACH_THREAD;
      if (column >= f.k) return;
      store_codes(f.codes256 + row * f.max_k + column, codes[t]);
      if (t % 2 == 0) f.sum256[(row * f.max_k + column) / 16] = sum[t] + other[t];
      if (t % WARP == 0) f.scale256[(row * f.max_k + column) / 256] = codes[t].scale;
    });
  }
}

} // namespace nextoken::cuda
