// Attention over the cache's blocks: a block of threads computes one segment of 256 keys for a tile of up to eight rows
// (a token and a query head of one kv head): thread = key for scores, then thread = dimension for values. Another
// kernel merges a row's segments in order. See kernels/cpu/attention.inl: the same chains.
// FlashAttention-2, Dao 2023, arXiv:2307.08691, with a split that depends on positions alone. Over an int8 cache
// queries and weights become int16, and products are sums of integers: attention_q8.inl.
#pragma once
#include <type_traits>

#include "kernels/cuda/attention_segment.h"

namespace nextoken::cuda {

constexpr int TILE_ROWS = 8;
constexpr float MOST_QUERY = 16383.0f, MOST_WEIGHT = 32767.0f; // of q8
static_assert(TILE_ROWS * WARP == ATTENTION_SEGMENT, "a warp a row");

template <bool Q8>
struct AttentionKernel {
  using Args = TiledAttention;
  /// Grid: tiles x kv heads x segments.
  static constexpr int THREADS = ATTENTION_SEGMENT;
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) {
    return shared_size(TILE_ROWS * a.cache.head_dim * 4) + shared_size(TILE_ROWS * ATTENTION_SEGMENT * 4) +
           4 * shared_size(TILE_ROWS * 4) + shared_size(2 * TILE_ROWS * 4);
  }

  using Sum = std::conditional_t<Q8, int, float>; // of weighted values

  static NEXTOKEN_HD Sum cached_value(const Args& a, uint8_t* at, int64_t kv_head, int64_t slot, int64_t d) {
    const uint8_t* const values = a.cache.values(at, kv_head);
    return Q8 ? (Sum)(int8_t)values[a.cache.q8_value_at(slot, d)]
              : (Sum)a.cache.read(values, a.cache.value_at(slot, d));
  }

  /// Scaled queries to whole numbers in the same place, as int. 32 threads a row.
  template <class Block>
  static NEXTOKEN_KERNEL void quantize_queries(Block& block, float* q, float* q_scale, int rows, int64_t head_dim) {
    typename Block::template Local<float> most;
    block.own([&](int t) {
      most[t] = 0.0f;
      for (int64_t d = t % WARP; t / WARP < rows && d < head_dim; d += WARP)
        most[t] = max1(magnitude(q[t / WARP * head_dim + d]), most[t]);
    });
    fold_max(block, most, WARP);
    block.each([&](int t) {
      const Scaling scaling(most[t], MOST_QUERY);
      if (t % WARP == 0) q_scale[t / WARP] = scaling.scale;
      for (int64_t d = t % WARP; t / WARP < rows && d < head_dim; d += WARP) {
        const int code = scaling.code(q[t / WARP * head_dim + d]);
        memcpy(q + t / WARP * head_dim + d, &code, 4);
      }
    });
  }

  /// Weights times the scales of their values, to whole numbers in the same place, as float.
  template <class Block>
  static NEXTOKEN_KERNEL void quantize_weights(Block& block, const Args& a, const AttentionTile& tile, int64_t kv_head,
                                               int64_t segment, float* scores, int rows, float* out_scale) {
    block.each([&](int t) {
      const int64_t b = tile.table + segment * (ATTENTION_SEGMENT / KV_BLOCK) + t / KV_BLOCK;
      for (int r = 0; r < rows; ++r) {
        float& p = scores[r * ATTENTION_SEGMENT + t];
        // The scale of a place that nobody wrote may be NaN, or the block not there, and its p is 0.
        p = p >= 1e-38f ? p * a.cache.q8_value_scales(a.cache.values(a.block_table[b], kv_head))[t % KV_BLOCK] : 0.0f;
      }
    });
    typename Block::template Local<float> most;
    block.own([&](int t) {
      most[t] = 0.0f;
      for (int i = t % WARP; t / WARP < rows && i < ATTENTION_SEGMENT; i += WARP)
        most[t] = max1(magnitude(scores[t / WARP * ATTENTION_SEGMENT + i]), most[t]);
    });
    fold_max(block, most, WARP);
    block.each([&](int t) {
      const Scaling scaling(most[t], MOST_WEIGHT);
      if (t % WARP == 0) out_scale[t / WARP] = scaling.scale;
      for (int i = t % WARP; t / WARP < rows && i < ATTENTION_SEGMENT; i += WARP) {
        float& weight = scores[t / WARP * ATTENTION_SEGMENT + i];
        weight = (float)scaling.code(weight);
      }
    });
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const AttentionTile tile = a.tiles[block.x()];
    const int64_t kv_head = block.y(), segment = block.z(), head_dim = a.cache.head_dim, width = a.cache.width;
    const int rows = tile.rows();
    const int64_t first_head = kv_head * a.group + tile.first_head;
    float* const q = block.template shared<float>(TILE_ROWS * head_dim);
    float* const scores = block.template shared<float>(TILE_ROWS * ATTENTION_SEGMENT);
    float* const most = block.template shared<float>(TILE_ROWS);
    float* const sums = block.template shared<float>(TILE_ROWS);
    Span* const spans = block.template shared<Span>(TILE_ROWS);
    float* const q_scale = block.template shared<float>(TILE_ROWS); // of q8
    float* const out_scale = block.template shared<float>(TILE_ROWS);
    const auto partial = [&](int r) { return a.partial(tile, first_head, r, segment); };
    const Span first = a.seen(tile.position, segment), last = a.seen(tile.position + tile.n_tokens - 1, segment);
    if (first.begin >= last.end) {
      block.own([&](int t) {
        if (t < rows) a.partials.sum[partial(t)] = 0.0f;
      });
      return;
    }

    block.each([&](int t) {
      for (int64_t i = t; i < rows * head_dim; i += THREADS)
        q[i] = a.query(tile, first_head, (int)(i / head_dim), i % head_dim);
      if (t < TILE_ROWS) spans[t] = a.seen(tile.position + (t < rows ? t / tile.n_heads : 0), segment);
    });

    if constexpr (Q8) quantize_queries(block, q, q_scale, rows, head_dim);

    block.each([&](int t) { // scores of key t
      float sum[TILE_ROWS] = {};
      const bool needed = t >= first.begin && t < last.end;
      if (needed) {
        uint8_t* const keys = a.cache.keys(a.block_of(tile, segment, t), kv_head);
        if constexpr (Q8) {
          int total[TILE_ROWS] = {};
          for (int64_t d = 0; d < head_dim; ++d) {
            const int key = (int8_t)keys[a.cache.q8_key_at(t % KV_BLOCK, d)];
            for (int r = 0; r < TILE_ROWS; ++r)
              if (r < rows) total[r] += ((const int*)q)[r * head_dim + d] * key;
          }
          const float scale = a.cache.q8_key_scales(keys)[t % KV_BLOCK];
          for (int r = 0; r < TILE_ROWS; ++r)
            if (r < rows) sum[r] = (float)total[r] * (q_scale[r] * scale);
        } else {
          for (int64_t d = 0; d < head_dim; ++d) {
            const float key = a.cache.read(keys, a.cache.key_at(t % KV_BLOCK, d));
            for (int r = 0; r < TILE_ROWS; ++r)
              if (r < rows) sum[r] = fma1(q[r * head_dim + d], key, sum[r]);
          }
        }
      }
      for (int r = 0; r < TILE_ROWS; ++r) {
        if (r >= rows) break;
        const float score = a.finished(tile, first_head, r, segment, t, sum[r]);
        scores[r * ATTENTION_SEGMENT + t] = t >= spans[r].begin && t < spans[r].end ? score : MINUS_INFINITY;
      }
    });

    const auto at = [&](int r, int key) -> float& { return scores[r * ATTENTION_SEGMENT + key]; };
    weigh_keys<TILE_ROWS>(block, at, rows, most, sums);
    if constexpr (Q8) quantize_weights(block, a, tile, kv_head, segment, scores, rows, out_scale);

    block.own([&](int t) {
      if (t < rows) {
        const bool nothing = spans[t].begin >= spans[t].end;
        a.partials.max[partial(t)] = most[t];
        a.partials.sum[partial(t)] = nothing ? 0.0f : sums[t];
      }
      // Threads stand side by side along dimensions, and in slices of rows.
      const int64_t at_once = width < THREADS ? width : THREADS;
      const int slices = (int)(THREADS / at_once), slice = (int)(t / at_once);
      if (slice >= slices) return;
      for (int64_t d = t % at_once; d < width; d += at_once) {
        Sum sum[TILE_ROWS] = {};
        for (int key = first.begin; key < last.end; ++key) {
          const Sum v = cached_value(a, a.block_of(tile, segment, key), kv_head, key % KV_BLOCK, d);
          for (int i = 0; i < TILE_ROWS; ++i) {
            const int r = slice + i * slices;
            if (r >= rows || key < spans[r].begin || key >= spans[r].end) continue; // not multiplied by 0
            const float weight = scores[r * ATTENTION_SEGMENT + key];
            if constexpr (Q8)
              sum[i] += (int)weight * v;
            else
              sum[i] = fma1(weight, v, sum[i]);
          }
        }
        for (int i = 0; i < TILE_ROWS; ++i) {
          const int r = slice + i * slices;
          if (r < rows) a.partials.out[partial(r) * width + d] = Q8 ? (float)sum[i] * out_scale[r] : (float)sum[i];
        }
      }
    });
  }
};

} // namespace nextoken::cuda
