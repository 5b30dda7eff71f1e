// Attention over the cache's blocks: a block of threads computes one segment of 256 keys for a tile of up to eight rows
// (a token and a query head of one kv head): thread = key for scores, then thread = dimension for values. Another
// kernel merges a row's segments in order. See kernels/cpu/attention.inl: the same chains.
// FlashAttention-2, Dao 2023, arXiv:2307.08691, with a split that depends on positions alone.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

constexpr int TILE_ROWS = 8;

/// Where a row of the batch stands in its cache.
struct RowPlace {
  uint8_t* block;
  int64_t slot;
};

/// Tokens of one sequence and query heads of a kv head, at most TILE_ROWS of them.
struct AttentionTile {
  int64_t row;                           // of the batch, of the first token
  int64_t position;                      // of the first token
  int64_t table;                         // of its sequence: index of the first block in the block table
  int32_t n_tokens, first_head, n_heads; // heads counted within the group
};

/// Sizes of one head in one block of the cache, as KvShape has them.
struct CacheLayout {
  KvType type;                                                         // f16 or f32
  int64_t head_dim, width, k_bytes, v_bytes, head_bytes, layer_offset; // width: head_dim rounded up to 16

  NEXTOKEN_HD uint8_t* keys(uint8_t* block, int64_t head) const { return block + layer_offset + head * head_bytes; }
  NEXTOKEN_HD uint8_t* values(uint8_t* block, int64_t head) const { return keys(block, head) + k_bytes; }
  NEXTOKEN_HD int64_t key_at(int64_t slot, int64_t d) const { return slot / 16 * head_dim * 16 + d * 16 + slot % 16; }
  NEXTOKEN_HD int64_t value_at(int64_t slot, int64_t d) const { return slot * width + d; }
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

/// Keys and values of each row into its place. Grid: rows x kv heads.
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

/// Partial results of row r, head h and segment s stand at index (r * n_heads + h) * n_segments + s.
struct Partials {
  float *max, *sum, *out; // [index], [index], [index][width]
  int64_t n_segments, first_row;
};

struct AttentionKernel {
  struct Args {
    CacheLayout cache;
    uint8_t* const* block_table;
    const AttentionTile* tiles;
    const float* q;
    int64_t q_stride, n_heads, group, window;
    float scale, soft_cap;
    const float* slopes; // [n_heads] or null
    Partials partials;
  };
  /// Grid: tiles x kv heads x segments.
  static constexpr int THREADS = ATTENTION_SEGMENT;
  static NEXTOKEN_HD int64_t shared_bytes(const Args& a) {
    return shared_size(TILE_ROWS * a.cache.head_dim * 4) + shared_size(TILE_ROWS * ATTENTION_SEGMENT * 4) +
           2 * shared_size(TILE_ROWS * 4) + shared_size(2 * TILE_ROWS * 4);
  }

  /// Keys [begin, end) of the segment that a row sees.
  struct Span {
    int begin, end;
  };
  static NEXTOKEN_HD Span seen(const Args& a, int64_t position, int64_t segment) {
    const int64_t start = segment * ATTENTION_SEGMENT, first = a.window > 0 ? position + 1 - a.window - start : -start;
    const int64_t end = position + 1 - start;
    return {(int)(first > 0 ? (first < ATTENTION_SEGMENT ? first : ATTENTION_SEGMENT) : 0),
            (int)(end < 0                   ? 0
                  : end < ATTENTION_SEGMENT ? end
                                            : ATTENTION_SEGMENT)};
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

    block.each([&](int t) { // scores of key t
      float sum[TILE_ROWS] = {};
      const bool needed = t >= first.begin && t < last.end;
      if (needed) {
        const int64_t b = tile.table + segment * (ATTENTION_SEGMENT / KV_BLOCK) + t / KV_BLOCK;
        const uint8_t* const keys = a.cache.keys(a.block_table[b], kv_head);
        for (int64_t d = 0; d < head_dim; ++d) {
          const float key = a.cache.read(keys, a.cache.key_at(t % KV_BLOCK, d));
          for (int r = 0; r < TILE_ROWS; ++r)
            if (r < rows) sum[r] = fma1(q[r * head_dim + d], key, sum[r]);
        }
      }
      for (int r = 0; r < TILE_ROWS; ++r) {
        if (r >= rows) break;
        float score = sum[r];
        if (a.soft_cap > 0.0f) score = a.soft_cap * tanh1(divide(score, a.soft_cap));
        const float slope = a.slopes ? a.slopes[first_head + r % tile.n_heads] : 0.0f;
        if (slope != 0.0f) {
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
        float sum[TILE_ROWS] = {};
        for (int key = first.begin; key < last.end; ++key) {
          const int64_t b = tile.table + segment * (ATTENTION_SEGMENT / KV_BLOCK) + key / KV_BLOCK;
          const uint8_t* const values = a.cache.values(a.block_table[b], kv_head);
          const float v = a.cache.read(values, a.cache.value_at(key % KV_BLOCK, d));
          for (int i = 0; i < TILE_ROWS; ++i) {
            const int r = slice + i * slices;
            if (r < rows && key >= spans[r].begin && key < spans[r].end) // skipped, not multiplied by 0
              sum[i] = fma1(scores[r * ATTENTION_SEGMENT + key], v, sum[i]);
          }
        }
        for (int i = 0; i < TILE_ROWS; ++i) {
          const int r = slice + i * slices;
          if (r < rows) a.partials.out[partial(r) * width + d] = sum[i];
        }
      }
    });
  }
};

/// y = a row's segments, merged in order. Grid: rows x heads.
struct MergeKernel {
  struct Args {
    Partials partials;
    int64_t n_heads, head_dim, width;
    float* y; // row first_row + x at y + x * y_stride
    int64_t y_stride;
  };
  static constexpr int THREADS = 64;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t first = (block.x() * a.n_heads + block.y()) * a.partials.n_segments;
    block.own([&](int t) {
      for (int64_t d = t; d < a.head_dim; d += block.threads()) {
        float most = 0.0f, sum = 0.0f, total = 0.0f;
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
        a.y[block.x() * a.y_stride + block.y() * a.head_dim + d] = total * (sum == 0.0f ? 0.0f : divide(1.0f, sum));
      }
    });
  }
};

} // namespace nextoken::cuda
