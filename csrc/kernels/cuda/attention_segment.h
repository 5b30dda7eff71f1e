// What kernels of attention share: a tile of rows, what it sees of a segment of 256 keys, and the softmax of a segment.
// See kernels/cpu/attention.inl: the same chains.
#pragma once
#include "kernels/cuda/cache.h"

namespace nextoken::cuda {

/// Tokens of one sequence and query heads of a kv head, as many pairs of them as a kernel takes at most.
struct AttentionTile {
  int64_t row;                           // of the batch, of the first token
  int64_t position;                      // of the first token
  int64_t table;                         // of its sequence: index of the first block in the block table
  int32_t n_tokens, first_head, n_heads; // heads counted within the group

  NEXTOKEN_HD int rows() const { return n_tokens * n_heads; }
};

/// Partial results of row r, head h and segment s stand at index (r * n_heads + h) * n_segments + s.
struct Partials {
  float *max, *sum, *out; // [index], [index], [index][width]
  int64_t n_segments, first_row;
};

/// Keys [begin, end) of a segment.
struct Span {
  int begin, end;
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

  /// What a token sees of a segment.
  NEXTOKEN_HD Span seen(int64_t position, int64_t segment) const {
    const int64_t start = segment * ATTENTION_SEGMENT;
    int64_t first = window > 0 ? position + 1 - window - start : -start;
    if (chunk > 0) first = position - position % chunk - start;
    const int64_t end = position + 1 - start;
    return {(int)(first > 0 ? (first < ATTENTION_SEGMENT ? first : ATTENTION_SEGMENT) : 0),
            (int)(end < 0                   ? 0
                  : end < ATTENTION_SEGMENT ? end
                                            : ATTENTION_SEGMENT)};
  }

  NEXTOKEN_HD uint8_t* block_of(const AttentionTile& tile, int64_t segment, int key) const {
    return block_table[tile.table + segment * (ATTENTION_SEGMENT / KV_BLOCK) + key / KV_BLOCK];
  }

  // Of row r of a tile whose first head is `first_head` of the model's.
  NEXTOKEN_HD float query(const AttentionTile& tile, int64_t first_head, int r, int64_t d) const {
    return q[(tile.row + r / tile.n_heads) * q_stride + (first_head + r % tile.n_heads) * cache.head_dim + d] * scale;
  }

  /// The score of a key whose product with the row is `score`.
  NEXTOKEN_HD float finished(const AttentionTile& tile, int64_t first_head, int r, int64_t segment, int key,
                             float score) const {
    if (soft_cap > 0.0f) score = soft_cap * tanh1(divide(score, soft_cap));
    const float slope = slopes ? slopes[first_head + r % tile.n_heads] : 0.0f;
    if (bf16_distances) {
      const float position = (float)(segment * ATTENTION_SEGMENT) + (float)key;
      return fma1(scale, round_bf16(round_bf16(position) * slope), score);
    }
    if (slope == 0.0f) return score;
    const float behind = (float)(segment * ATTENTION_SEGMENT - tile.position - r / tile.n_heads);
    return fma1(slope, (behind + (float)(key / 16 * 16)) + (float)(key % 16), score);
  }

  NEXTOKEN_HD int64_t partial(const AttentionTile& tile, int64_t first_head, int r, int64_t segment) const {
    const int64_t row = tile.row - partials.first_row + r / tile.n_heads;
    return (row * n_heads + first_head + r % tile.n_heads) * partials.n_segments + segment;
  }
};

/// at(r, key) becomes exp(at(r, key) - most[r]), most[r] the row's largest; sums[r] is their sum. Sixteen threads a
/// row: where there are fewer rows, others do the same again and keep it to themselves.
template <int ROWS, class Block, class At>
NEXTOKEN_KERNEL void weigh_keys(Block& block, At at, int rows, float* most, float* sums) {
  typename Block::template Local<float> value;
  block.own([&](int t) {
    const int r = t / 16 % ROWS;
    value[t] = MINUS_INFINITY;
    for (int i = t % 16; r < rows && i < ATTENTION_SEGMENT; i += 16) value[t] = max1(value[t], at(r, i));
  });
  fold_max(block, value, 16);
  block.each([&](int t) {
    if (t % 16 == 0 && t / 16 < ROWS) most[t / 16] = value[t];
  });
  block.each([&](int t) {
    for (int r = 0; r < rows; ++r) at(r, t) = exp1(at(r, t) - most[r]);
  });
  block.own([&](int t) {
    const int r = t / 16 % ROWS;
    value[t] = 0.0f;
    for (int i = t % 16; r < rows && i < ATTENTION_SEGMENT; i += 16) value[t] = value[t] + at(r, i);
  });
  fold_add16(block, value);
  block.each([&](int t) {
    if (t % 16 == 0 && t / 16 < ROWS) sums[t / 16] = value[t];
  });
}

} // namespace nextoken::cuda
