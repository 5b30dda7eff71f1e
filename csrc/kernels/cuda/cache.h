// The cache on a card: the layout of its blocks (kernels/cpu/kv.inl), and what writes them.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

/// Where a row of the batch stands in its cache.
struct RowPlace {
  uint8_t* block;
  int64_t slot;
};

/// x = scale * codes, codes up to `most` in magnitude: scale is 0 where all is tiny, NaN where something is not finite.
struct Scaling {
  float factor, scale; // codes are round(x * factor)

  /// amax: the largest magnitude, +infinity if something is not finite.
  NEXTOKEN_HD Scaling(float amax, float most) {
    const bool some = finite1(amax) && amax >= SMALLEST_AMAX;
    factor = some ? divide(most, amax) : 0.0f;
    scale = some ? divide(amax, most) : finite1(amax) ? 0.0f : float_of_bits(0x7fc00000u);
  }
  NEXTOKEN_HD int code(float x) const { return factor != 0.0f ? (int)round1(x * factor) : 0; }
};
/// For the maximum of magnitudes: +infinity stands for anything that is not finite.
NEXTOKEN_HD float magnitude(float x) { return finite1(x) ? abs1(x) : -MINUS_INFINITY; }

/// Sizes of one head in one block of the cache, as KvShape has them.
struct CacheLayout {
  KvType type;                                                         // f16 or f32
  int64_t head_dim, width, k_bytes, v_bytes, head_bytes, layer_offset; // width: head_dim rounded up to 16

  NEXTOKEN_HD uint8_t* keys(uint8_t* block, int64_t head) const { return block + layer_offset + head * head_bytes; }
  NEXTOKEN_HD uint8_t* values(uint8_t* block, int64_t head) const { return keys(block, head) + k_bytes; }
  NEXTOKEN_HD int64_t key_at(int64_t slot, int64_t d) const { return slot / 16 * head_dim * 16 + d * 16 + slot % 16; }
  NEXTOKEN_HD int64_t value_at(int64_t slot, int64_t d) const { return slot * width + d; }
  // Of q8 two elements that are multiplied in one step stand side by side, and scales follow the codes.
  NEXTOKEN_HD int64_t even_dim() const { return head_dim + head_dim % 2; }
  NEXTOKEN_HD int64_t q8_key_at(int64_t slot, int64_t d) const {
    return ((slot / 16 * (even_dim() / 2) + d / 2) * 16 + slot % 16) * 2 + d % 2;
  }
  NEXTOKEN_HD int64_t q8_value_at(int64_t slot, int64_t d) const { return (slot / 2 * width + d) * 2 + slot % 2; }
  NEXTOKEN_HD float* q8_key_scales(uint8_t* keys) const { return (float*)(keys + KV_BLOCK * even_dim()); }
  NEXTOKEN_HD float* q8_value_scales(uint8_t* values) const { return (float*)(values + KV_BLOCK * width); }

  NEXTOKEN_HD float read(const uint8_t* p, int64_t i) const {
    return type == KvType::f32 ? ((const float*)p)[i] : from_half(((const uint16_t*)p)[i]);
  }
  NEXTOKEN_HD void write(uint8_t* p, int64_t i, float x) const {
    if (type == KvType::f32)
      ((float*)p)[i] = x;
    else
      ((uint16_t*)p)[i] = to_half(x);
  }
};

/// Keys and values of each row into its place, as f16 or f32. Grid: rows x kv heads.
struct KvWriteKernel {
  struct Args {
    CacheLayout cache;
    const RowPlace* places;
    const float *k, *v;
    int64_t k_stride, v_stride;
  };
  static constexpr int THREADS = 64;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const RowPlace place = a.places[block.x()];
    const int64_t head = block.y(), n = a.cache.head_dim;
    block.own([&](int t) {
      for (int64_t d = t; d < a.cache.width; d += block.threads()) {
        const float k = d < n ? a.k[block.x() * a.k_stride + head * n + d] : 0.0f;
        const float v = d < n ? a.v[block.x() * a.v_stride + head * n + d] : 0.0f;
        if (d < n) a.cache.write(a.cache.keys(place.block, head), a.cache.key_at(place.slot, d), k);
        a.cache.write(a.cache.values(place.block, head), a.cache.value_at(place.slot, d), v);
      }
    });
  }
};

/// The same as int8 with a scale. Grid: rows x kv heads x 2, keys and values.
struct KvWriteQ8Kernel {
  using Args = KvWriteKernel::Args;
  static constexpr int THREADS = 64;
  static constexpr int64_t SHARED_BYTES = SHARED_ALIGNMENT; // two floats

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const RowPlace place = a.places[block.x()];
    const int64_t head = block.y(), n = a.cache.head_dim, slot = place.slot;
    const bool keys = block.z() == 0;
    const float* const x = (keys ? a.k + block.x() * a.k_stride : a.v + block.x() * a.v_stride) + head * n;
    uint8_t* const to = keys ? a.cache.keys(place.block, head) : a.cache.values(place.block, head);
    float* const maxima = block.template shared<float>(THREADS / WARP);
    typename Block::template Local<float> most;
    block.own([&](int t) {
      most[t] = 0.0f;
      for (int64_t d = t; d < n; d += THREADS) most[t] = max1(magnitude(x[d]), most[t]);
    });
    fold_max(block, most, WARP);
    block.each([&](int t) {
      if (t % WARP == 0) maxima[t / WARP] = most[t];
    });
    block.own([&](int t) {
      const Scaling scaling(max1(maxima[0], maxima[1]), 127.0f);
      for (int64_t d = t; d < (keys ? a.cache.even_dim() : a.cache.width); d += THREADS) {
        const int code = d < n ? scaling.code(x[d]) : 0;
        to[keys ? a.cache.q8_key_at(slot, d) : a.cache.q8_value_at(slot, d)] = (uint8_t)code;
      }
      if (t == 0) (keys ? a.cache.q8_key_scales(to) : a.cache.q8_value_scales(to))[slot] = scaling.scale;
    });
  }
};

} // namespace nextoken::cuda
