// Causal attention with grouped heads over a cache of blocks. Keys are summed in segments of 256 aligned to position 0,
// and segments are merged in order, so that no sum depends on which queries share a call.
// FlashAttention-2, Dao 2023, arXiv:2307.08691.

struct Span {
  int64_t begin, end; // keys, counted from the start of the segment or block
  bool empty() const { return begin >= end; }
};

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// The first key that a query at that position sees.
static inline int64_t first_seen(const AttentionArgs& args, int64_t position) {
  if (args.chunk > 0) return position - position % args.chunk;
  return args.window > 0 ? larger(0, position + 1 - args.window) : 0;
}

// The keys of a segment that token t sees.
static inline Span seen(const AttentionArgs& args, int64_t t, int64_t segment) {
  const int64_t position = args.first_position + t, start = segment * ATTENTION_SEGMENT;
  return {larger(first_seen(args, position) - start, 0), smaller(position + 1 - start, ATTENTION_SEGMENT)};
}

static inline Span within_block(Span s, int64_t block) {
  return {larger(s.begin - block * KV_BLOCK, 0), smaller(s.end - block * KV_BLOCK, KV_BLOCK)};
}

// How many elements of a value there are.
static inline int64_t value_dim(const AttentionArgs& args) { return args.latent_dim ? args.latent_dim : args.head_dim; }

// Scratch of one segment and, for attention(), of the rows' results so far.
struct Workspace {
  float*
      q; // scaled queries, a tile [head_dim][rows of the tile] after the other; for q8 int16, [head_dim / 2][rows][2]
  float* scores;   // [rows][ATTENTION_SEGMENT], then the weights exp(score - max)
  float* expanded; // one block of keys or values as floats
  float* out;      // [rows][padded head_dim]
  float* total;    // the same
  float *max, *sum, *total_max, *total_sum;
  float *q_scale, *v_scale; // of q8: of a row's queries, and of its weights in this segment
};

static int64_t attention_scratch(int64_t rows, int64_t head_dim) {
  const int64_t width = padded16(head_dim);
  return rows * ATTENTION_SEGMENT + KV_BLOCK * width + 3 * rows * width + 6 * rows + 16;
}

static Workspace workspace(float* scratch, int64_t rows, int64_t head_dim) {
  const int64_t width = padded16(head_dim);
  Workspace w;
  w.q = scratch + ((64 - (uintptr_t)scratch % 64) % 64) / 4; // tiles read whole cache lines
  w.scores = w.q + rows * width;
  w.expanded = w.scores + rows * ATTENTION_SEGMENT;
  w.out = w.expanded + KV_BLOCK * width;
  w.total = w.out + rows * width;
  w.max = w.total + rows * width;
  w.sum = w.max + rows;
  w.total_max = w.sum + rows;
  w.total_sum = w.total_max + rows;
  w.q_scale = w.total_sum + rows;
  w.v_scale = w.q_scale + rows;
  return w;
}

// Rows are cut into tiles of nearly equal size.
static inline int64_t tile_count(int64_t rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }
static inline int64_t tile_begin(int64_t tile, int64_t rows) { return rows * tile / tile_count(rows); }

static void pack_queries(const AttentionArgs& args, float* packed) {
  const int64_t rows = args.n_tokens * args.group;
  for (int64_t tile = 0; tile < tile_count(rows); ++tile) {
    const int64_t begin = tile_begin(tile, rows), n = tile_begin(tile + 1, rows) - begin;
    float* const to = packed + begin * args.head_dim;
    for (int64_t r = 0; r < n; ++r) {
      const float* q = args.q + (begin + r) / args.group * args.q_stride + (begin + r) % args.group * args.head_dim;
      for (int64_t d = 0; d < args.head_dim; ++d) to[d * n + r] = q[d] * args.scale;
    }
  }
}

static inline const float* expand(const float* block, int64_t, int64_t, float*) { return block; }
static inline const float* expand(const uint16_t* block, int64_t begin, int64_t end, float* expanded) {
  for (int64_t i = begin; i < end; i += 16) store16(expanded + i, load16_f16(block + i));
  return expanded;
}

template <class T>
static void score_tiles(const AttentionArgs& args, int64_t segment, int64_t block, const T* keys, const T* ahead,
                        const Workspace& w) {
  const int64_t rows = args.n_tokens * args.group;
  for (int64_t tile = 0; tile < tile_count(rows); ++tile) {
    const int64_t begin = tile_begin(tile, rows), end = tile_begin(tile + 1, rows);
    const Span first = within_block(seen(args, begin / args.group, segment), block);
    const Span last = within_block(seen(args, (end - 1) / args.group, segment), block);
    if (first.begin >= last.end) continue;
    score_groups<TILE_ROWS>(end - begin, w.q + begin * args.head_dim, keys, args.head_dim, first.begin / 16,
                            (last.end + 15) / 16, w.scores + begin * ATTENTION_SEGMENT + block * KV_BLOCK, ahead);
  }
}

// What is done to the scores of a row before they become weights.
struct RowBias {
  float cap, slope;
  float behind;      // position of the segment's first key minus the query's, or as it is where it is rounded
  float bf16_factor; // 0: distances are not rounded

  RowBias(const AttentionArgs& args, int64_t row, int64_t segment)
      : cap(args.soft_cap),
        slope(args.slopes ? args.slopes[row % args.group] : 0.0f),
        behind(
            (float)(segment * ATTENTION_SEGMENT - (args.bf16_distances ? 0 : args.first_position + row / args.group))),
        bf16_factor(args.bf16_distances ? args.scale : 0.0f) {}
};

// scores[t] += slope * (behind + t). Press et al. 2021, arXiv:2108.12409
static void add_distances(float* scores, int64_t begin, int64_t end, float slope, float behind) {
  float lanes[16];
  for (int64_t i = 0; i < 16; ++i) lanes[i] = (float)i;
  const F32x16 first = load16(lanes), s = all16(slope);
  for (int64_t t = begin; t < end; t += 16)
    store16(scores + t, fma16(s, add16(all16(behind + (float)t), first), load16(scores + t)));
}

// scores[t] += factor * bf16(slope * bf16(first + t)): Falcon, as it was trained.
static void add_bf16_distances(float* scores, int64_t begin, int64_t end, float slope, float first, float factor) {
  float bias[16];
  for (int64_t t = begin; t < end; t += 16) {
    for (int64_t i = 0; i < 16; ++i) bias[i] = first + (float)(t + i);
    round_bf16(bias, 16, bias);
    for (int64_t i = 0; i < 16; ++i) bias[i] *= slope;
    round_bf16(bias, 16, bias);
    store16(scores + t, fma16(all16(factor), load16(bias), load16(scores + t)));
  }
}

// Scores of one row to weights exp(score - max); lanes of the first and last sixteen that are not seen become 0.
static void weights_of_row(float* scores, Span s, const RowBias& bias, float* max, float* sum) {
  if (s.empty()) {
    *max = MINUS_INFINITY;
    *sum = 0.0f;
    return;
  }
  const int64_t begin = s.begin / 16 * 16, end = (s.end + 15) / 16 * 16;
  if (bias.cap > 0.0f) soft_cap(bias.cap, end - begin, scores + begin);
  if (bias.bf16_factor != 0.0f)
    add_bf16_distances(scores, begin, end, bias.slope, bias.behind, bias.bf16_factor);
  else if (bias.slope != 0.0f)
    add_distances(scores, begin, end, bias.slope, bias.behind);
  for (int64_t t = begin; t < s.begin; ++t) scores[t] = MINUS_INFINITY;
  for (int64_t t = s.end; t < end; ++t) scores[t] = MINUS_INFINITY;
  const float m = largest(scores + begin, end - begin);
  const F32x16 all_max = all16(m);
  F32x16 total = zero16();
  for (int64_t t = begin; t < end; t += 16) {
    const F32x16 e = exp16(sub16(load16(scores + t), all_max));
    total = add16(total, e);
    store16(scores + t, e);
  }
  *max = m;
  *sum = fold_add16(total);
}

// A row's keys are summed in ascending order: those before the keys that all rows of the tile see, those, the rest.
template <class T>
static void value_tiles(const AttentionArgs& args, int64_t segment, int64_t block, const T* values, int64_t v_stride,
                        const T* ahead, const Workspace& w, float* out, int64_t out_stride) {
  const int64_t rows = args.n_tokens * args.group, width = padded16(value_dim(args));
  for (int64_t tile = 0; tile < tile_count(rows); ++tile) {
    const int64_t begin = tile_begin(tile, rows), end = tile_begin(tile + 1, rows);
    const int64_t first = within_block(seen(args, begin / args.group, segment), block).end;
    Span common = {within_block(seen(args, (end - 1) / args.group, segment), block).begin, first};
    if (common.empty()) common = {KV_BLOCK, KV_BLOCK}; // each row alone
    const float* const p = w.scores + block * KV_BLOCK;
    for (int64_t r = begin; r < end; ++r) {
      const Span s = within_block(seen(args, r / args.group, segment), block);
      const int64_t stop = smaller(s.end, common.begin);
      if (s.begin < stop)
        add_values<1>(1, p + r * ATTENTION_SEGMENT, values, width, v_stride, s.begin, stop, out + r * out_stride,
                      out_stride, ahead);
    }
    if (common.empty()) continue;
    add_values<TILE_ROWS>(end - begin, p + begin * ATTENTION_SEGMENT, values, width, v_stride, common.begin, common.end,
                          out + begin * out_stride, out_stride, ahead);
    for (int64_t r = begin; r < end; ++r) {
      const Span s = within_block(seen(args, r / args.group, segment), block);
      if (common.end < s.end)
        add_values<1>(1, p + r * ATTENTION_SEGMENT, values, width, v_stride, common.end, s.end, out + r * out_stride,
                      out_stride, ahead);
    }
  }
}

// The blocks of a segment that some row sees, in the order in which they are read: keys, values, and what comes after.
struct BlocksRead {
  int64_t first, n; // of the segment's blocks
  const void* order[2 * ATTENTION_SEGMENT / KV_BLOCK + BLOCKS_AHEAD];

  BlocksRead(const AttentionArgs& args, int64_t segment, Span all)
      : first(all.begin / KV_BLOCK), n(all.empty() ? 0 : (all.end - 1) / KV_BLOCK - first + 1) {
    const int64_t start = segment * (ATTENTION_SEGMENT / KV_BLOCK) + first;
    for (int64_t i = 0; i < n; ++i) {
      order[i] = args.k_blocks[start + i];
      order[n + i] = args.v_blocks[start + i];
    }
    for (int64_t i = 0; n > 0 && i < BLOCKS_AHEAD; ++i)
      order[2 * n + i] = args.ahead[i] ? args.ahead[i] : order[2 * n - 1];
  }
};

template <class T>
static void segment_as(const AttentionArgs& args, int64_t segment, float* max, float* sum, float* out,
                       int64_t out_stride, const Workspace& w) {
  const int64_t rows = args.n_tokens * args.group, width = padded16(args.head_dim);
  const Span all = {seen(args, 0, segment).begin, seen(args, args.n_tokens - 1, segment).end};
  const BlocksRead blocks(args, segment, all);
  const bool once = tile_count(rows) >= TILES_WORTH_EXPANDING;
  for (int64_t i = 0; i < blocks.n; ++i) {
    const int64_t b = blocks.first + i;
    const Span s = within_block(all, b);
    const T *const block = (const T*)blocks.order[i], *const ahead = (const T*)blocks.order[i + BLOCKS_AHEAD];
    if (once) {
      const float* const k =
          expand(block, s.begin / 16 * 16 * args.head_dim, (s.end + 15) / 16 * 16 * args.head_dim, w.expanded);
      score_tiles(args, segment, b, k, k, w);
    } else {
      score_tiles(args, segment, b, block, ahead, w);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    weights_of_row(w.scores + r * ATTENTION_SEGMENT, seen(args, r / args.group, segment), RowBias(args, r, segment),
                   max + r, sum + r);
    for (int64_t d = 0; d < width; d += 16) store16(out + r * out_stride + d, zero16());
  }
  for (int64_t i = 0; i < blocks.n; ++i) {
    const int64_t b = blocks.first + i;
    const Span s = within_block(all, b);
    const T* const block = (const T*)blocks.order[blocks.n + i];
    const T* const ahead = (const T*)blocks.order[blocks.n + i + BLOCKS_AHEAD];
    if (once) {
      const float* const v = expand(block, s.begin * width, s.end * width, w.expanded);
      value_tiles(args, segment, b, v, width, v, w, out, out_stride);
    } else {
      value_tiles(args, segment, b, block, width, ahead, w, out, out_stride);
    }
  }
}

// clang-format off: in the order they need each other
#include "attention_q8.inl"
#include "attention_latent.inl"
#include "attention_merge.inl"
// clang-format on

static void segment_with(const AttentionArgs& args, int64_t segment, float* max, float* sum, float* out,
                         int64_t out_stride, const Workspace& w) {
  if (args.latent_dim)
    segment_latent(args, segment, max, sum, out, out_stride, w);
  else if (args.kv_type == KvType::f32)
    segment_as<float>(args, segment, max, sum, out, out_stride, w);
  else if (args.kv_type == KvType::q8)
    segment_q8(args, segment, max, sum, out, out_stride, w);
  else
    segment_as<uint16_t>(args, segment, max, sum, out, out_stride, w);
}

static void prepare_queries(const AttentionArgs& args, const Workspace& w) {
  if (args.kv_type == KvType::q8 && !args.latent_dim)
    pack_queries_q8(args, (int16_t*)w.q, w.q_scale, w.expanded);
  else
    pack_queries(args, w.q);
}

static void attention_segment(const AttentionArgs& args, int64_t segment, float* max, float* sum, float* out,
                              int64_t out_stride, float* scratch) {
  const Workspace w = workspace(scratch, args.n_tokens * args.group, args.head_dim);
  prepare_queries(args, w);
  segment_with(args, segment, max, sum, out, out_stride, w);
}

static void attention(const AttentionArgs& args, float* y, int64_t y_stride, float* scratch) {
  const int64_t rows = args.n_tokens * args.group, width = padded16(value_dim(args));
  if (rows == 0) return;
  const Workspace w = workspace(scratch, rows, args.head_dim);
  prepare_queries(args, w);
  for (int64_t r = 0; r < rows; ++r) w.total_sum[r] = 0.0f;
  const int64_t first_key = first_seen(args, args.first_position);
  const int64_t last_key = args.first_position + args.n_tokens - 1;
  AttentionArgs part = args;
  for (int64_t s = first_key / ATTENTION_SEGMENT; s <= last_key / ATTENTION_SEGMENT; ++s) {
    const int64_t next = (s + 1) * (ATTENTION_SEGMENT / KV_BLOCK);
    part.ahead[0] = next * KV_BLOCK <= last_key ? args.k_blocks[next] : args.ahead[0];
    part.ahead[1] = (next + 1) * KV_BLOCK <= last_key ? args.k_blocks[next + 1]
                    : next * KV_BLOCK <= last_key     ? (args.latent_dim ? nullptr : args.v_blocks[next])
                                                      : args.ahead[1];
    segment_with(part, s, w.max, w.sum, w.out, width, w);
    for (int64_t r = 0; r < rows; ++r)
      merge_segment(w.total_max + r, w.total_sum + r, w.total + r * width, w.max[r], w.sum[r], w.out + r * width,
                    width);
  }
  for (int64_t r = 0; args.sinks && r < rows; ++r)
    merge_sink(args.sinks[r % args.group], w.total_max + r, w.total_sum + r, w.total + r * width, width);
  for (int64_t r = 0; r < rows; ++r)
    divide_by_sum(w.total + r * width, w.total_sum[r], value_dim(args),
                  y + r / args.group * y_stride + r % args.group * value_dim(args));
}
