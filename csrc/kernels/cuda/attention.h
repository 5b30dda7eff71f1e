// Attention over the cache's blocks: a block of threads computes one segment of 256 keys for a tile of up to eight rows
// (a token and a query head of one kv head): thread = key for scores, then thread = dimension for values. Another
// kernel merges a row's segments in order. See kernels/cpu/attention.inl: the same chains.
// FlashAttention-2, Dao 2023, arXiv:2307.08691, with a split that depends on positions alone. Over an int8 cache
// queries and weights become int16, and products are sums of integers: attention_q8.inl. Latents of any type are read
// as floats, as keys and then as values: attention_latent.inl.
#pragma once
#include <type_traits>

#include "kernels/cuda/cache.h"

namespace nextoken::cuda {

constexpr int TILE_ROWS = 8;
constexpr float MOST_QUERY = 16383.0f, MOST_WEIGHT = 32767.0f; // of q8
static_assert(TILE_ROWS * WARP == ATTENTION_SEGMENT, "a warp a row");

/// Tokens of one sequence and query heads of a kv head, at most TILE_ROWS of them.
struct AttentionTile {
  int64_t row;                           // of the batch, of the first token
  int64_t position;                      // of the first token
  int64_t table;                         // of its sequence: index of the first block in the block table
  int32_t n_tokens, first_head, n_heads; // heads counted within the group
};

/// Partial results of row r, head h and segment s stand at index (r * n_heads + h) * n_segments + s.
struct Partials {
  float *max, *sum, *out; // [index], [index], [index][width]
  int64_t n_segments, first_row;
};

struct TiledAttention {
  CacheLayout cache;
  uint8_t* const* block_table;
  const AttentionTile* tiles;
  const float* q;
  int64_t q_stride, n_heads, group, window;
  float scale, soft_cap;
  const float* slopes; // [n_heads] or null
  Partials partials;
  int64_t chunk = 0;
  bool bf16_distances = false;
};

enum class Cached { floats, q8, latents };

template <Cached CACHED>
struct AttentionKernel {
  using Args = TiledAttention;
  static constexpr bool Q8 = CACHED == Cached::q8;
  /// Grid: tiles x kv heads x segments.
  static constexpr int THREADS = ATTENTION_SEGMENT;
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) {
    return shared_size(TILE_ROWS * a.cache.head_dim * 4) + shared_size(TILE_ROWS * ATTENTION_SEGMENT * 4) +
           4 * shared_size(TILE_ROWS * 4) + shared_size(2 * TILE_ROWS * 4);
  }

  using Sum = std::conditional_t<Q8, int, float>; // of weighted values

  static NEXTOKEN_HD Sum cached_value(const Args& a, uint8_t* at, int64_t kv_head, int64_t slot, int64_t d) {
    if constexpr (CACHED == Cached::latents) return a.cache.read_latent(a.cache.keys(at, kv_head), slot, d);
    const uint8_t* const values = a.cache.values(at, kv_head);
    return Q8 ? (Sum)(int8_t)values[a.cache.q8_value_at(slot, d)]
              : (Sum)a.cache.read(values, a.cache.value_at(slot, d));
  }

  /// Keys [begin, end) of the segment that a row sees.
  struct Span {
    int begin, end;
  };
  static NEXTOKEN_HD Span seen(const Args& a, int64_t position, int64_t segment) {
    const int64_t start = segment * ATTENTION_SEGMENT;
    int64_t first = a.window > 0 ? position + 1 - a.window - start : -start;
    if (a.chunk > 0) first = position - position % a.chunk - start;
    const int64_t end = position + 1 - start;
    return {(int)(first > 0 ? (first < ATTENTION_SEGMENT ? first : ATTENTION_SEGMENT) : 0),
            (int)(end < 0                   ? 0
                  : end < ATTENTION_SEGMENT ? end
                                            : ATTENTION_SEGMENT)};
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
    const int rows = tile.n_tokens * tile.n_heads;
    const int64_t first_head = kv_head * a.group + tile.first_head;
    float* const q = block.template shared<float>(TILE_ROWS * head_dim);
    float* const scores = block.template shared<float>(TILE_ROWS * ATTENTION_SEGMENT);
    float* const most = block.template shared<float>(TILE_ROWS);
    float* const sums = block.template shared<float>(TILE_ROWS);
    Span* const spans = block.template shared<Span>(TILE_ROWS);
    float* const q_scale = block.template shared<float>(TILE_ROWS); // of q8
    float* const out_scale = block.template shared<float>(TILE_ROWS);
    const auto partial = [&](int r) {
      const int64_t row = tile.row - a.partials.first_row + r / tile.n_heads;
      return (row * a.n_heads + first_head + r % tile.n_heads) * a.partials.n_segments + segment;
    };
    const Span first = seen(a, tile.position, segment), last = seen(a, tile.position + tile.n_tokens - 1, segment);
    if (first.begin >= last.end) {
      block.own([&](int t) {
        if (t < rows) a.partials.sum[partial(t)] = 0.0f;
      });
      return;
    }

    block.each([&](int t) {
      for (int64_t i = t; i < rows * head_dim; i += THREADS) {
        const int64_t r = i / head_dim, head = first_head + r % tile.n_heads;
        q[i] = a.q[(tile.row + r / tile.n_heads) * a.q_stride + head * head_dim + i % head_dim] * a.scale;
      }
      if (t < TILE_ROWS) spans[t] = seen(a, tile.position + (t < rows ? t / tile.n_heads : 0), segment);
    });

    if constexpr (Q8) quantize_queries(block, q, q_scale, rows, head_dim);

    block.each([&](int t) { // scores of key t
      float sum[TILE_ROWS] = {};
      const bool needed = t >= first.begin && t < last.end;
      if (needed) {
        const int64_t b = tile.table + segment * (ATTENTION_SEGMENT / KV_BLOCK) + t / KV_BLOCK;
        uint8_t* const keys = a.cache.keys(a.block_table[b], kv_head);
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
          const auto add = [&](int64_t d, float key) {
            for (int r = 0; r < TILE_ROWS; ++r)
              if (r < rows) sum[r] = fma1(q[r * head_dim + d], key, sum[r]);
          };
          if constexpr (CACHED == Cached::latents)
            a.cache.read_latent(keys, t % KV_BLOCK, add);
          else
            for (int64_t d = 0; d < head_dim; ++d) add(d, a.cache.read(keys, a.cache.key_at(t % KV_BLOCK, d)));
        }
      }
      for (int r = 0; r < TILE_ROWS; ++r) {
        if (r >= rows) break;
        float score = sum[r];
        if (a.soft_cap > 0.0f) score = a.soft_cap * tanh1(divide(score, a.soft_cap));
        const float slope = a.slopes ? a.slopes[first_head + r % tile.n_heads] : 0.0f;
        if (a.bf16_distances) {
          const float position = (float)(segment * ATTENTION_SEGMENT) + (float)t;
          score = fma1(a.scale, round_bf16(round_bf16(position) * slope), score);
        } else if (slope != 0.0f) {
          const float behind = (float)(segment * ATTENTION_SEGMENT - tile.position - r / tile.n_heads);
          score = fma1(slope, (behind + (float)(t / 16 * 16)) + (float)(t % 16), score);
        }
        scores[r * ATTENTION_SEGMENT + t] = t >= spans[r].begin && t < spans[r].end ? score : MINUS_INFINITY;
      }
    });

    // Sixteen threads a row; the upper half of the block does the same again and keeps it to itself.
    typename Block::template Local<float> value;
    block.own([&](int t) {
      const int r = t / 16 % TILE_ROWS;
      value[t] = MINUS_INFINITY;
      for (int i = t % 16; r < rows && i < ATTENTION_SEGMENT; i += 16)
        value[t] = max1(value[t], scores[r * ATTENTION_SEGMENT + i]);
    });
    fold_max(block, value, 16);
    block.each([&](int t) {
      if (t % 16 == 0 && t / 16 < TILE_ROWS) most[t / 16] = value[t];
    });
    block.each([&](int t) {
      for (int r = 0; r < rows; ++r) {
        float& score = scores[r * ATTENTION_SEGMENT + t];
        score = exp1(score - most[r]);
      }
    });
    block.own([&](int t) {
      const int r = t / 16 % TILE_ROWS;
      value[t] = 0.0f;
      for (int i = t % 16; r < rows && i < ATTENTION_SEGMENT; i += 16)
        value[t] = value[t] + scores[r * ATTENTION_SEGMENT + i];
    });
    fold_add16(block, value);
    block.each([&](int t) {
      if (t % 16 == 0 && t / 16 < TILE_ROWS) sums[t / 16] = value[t];
    });
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
          const int64_t b = tile.table + segment * (ATTENTION_SEGMENT / KV_BLOCK) + key / KV_BLOCK;
          const Sum v = cached_value(a, a.block_table[b], kv_head, key % KV_BLOCK, d);
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
