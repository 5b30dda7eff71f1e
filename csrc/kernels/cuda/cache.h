// The cache on a card: the layout of its blocks (kernels/cpu/kv.inl, of latents kv_latent.inl), and what writes them.
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
  KvType type;
  int64_t head_dim, width, k_bytes, v_bytes, head_bytes, layer_offset; // width: value_dim() rounded up to 16
  int64_t latent_dim; // 0, or keys are latents whose first latent_dim elements are the values

  NEXTOKEN_HD int64_t value_dim() const { return latent_dim ? latent_dim : head_dim; }

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

  // Latents: a row a token, of q8 two scales for each behind all rows.
  NEXTOKEN_HD int64_t latent_at(int64_t slot, int64_t d) const { return slot * (divide_up(head_dim, 16) * 16) + d; }
  NEXTOKEN_HD float* latent_scales(uint8_t* latents, int64_t slot) const {
    return (float*)(latents + latent_at(KV_BLOCK, 0)) + 2 * slot;
  }
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

/// Latents, which are keys and values in one, of any type. Grid: rows.
struct LatentWriteKernel {
  using Args = KvWriteKernel::Args;
  static constexpr int THREADS = WARP;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const RowPlace place = a.places[block.x()];
    const float* const x = a.k + block.x() * a.k_stride;
    uint8_t* const to = a.cache.keys(place.block, 0);
    const int64_t n = a.cache.head_dim, padded = a.cache.latent_at(1, 0);
    if (a.cache.type != KvType::q8) {
      block.own([&](int t) {
        for (int64_t d = t; d < padded; d += WARP)
          a.cache.write(to, a.cache.latent_at(place.slot, d), d < n ? x[d] : 0.0f);
      });
      return;
    }
    typename Block::template Local<float> most;
    for (int part = 0; part < 2; ++part) { // the latent, and what rotates
      const int64_t begin = part == 0 ? 0 : a.cache.latent_dim, end = part == 0 ? a.cache.latent_dim : n;
      block.own([&](int t) {
        most[t] = 0.0f;
        for (int64_t d = begin + t; d < end; d += WARP) most[t] = max1(magnitude(x[d]), most[t]);
      });
      fold_max(block, most, WARP);
      block.own([&](int t) {
        const Scaling scaling(most[t], 127.0f);
        for (int64_t d = begin + t; d < end; d += WARP)
          to[a.cache.latent_at(place.slot, d)] = (uint8_t)scaling.code(x[d]);
        if (t == 0) a.cache.latent_scales(to, place.slot)[part] = scaling.scale;
      });
    }
    block.own([&](int t) {
      for (int64_t d = n + t; d < padded; d += WARP) to[a.cache.latent_at(place.slot, d)] = 0;
    });
  }
};

} // namespace nextoken::cuda
