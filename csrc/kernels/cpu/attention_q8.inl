// Attention over an int8 cache. A row's queries become int16 with one scale, and so do, in each segment, its weights
// times the scales of the values: products are then sums of integers, exact in any order, two of them a lane and step.
// Keys that a row does not see have weight 0, which adds nothing to an integer.
//   score[t] = float(sum over d of q[d] k[t][d]) * (scale_q * scale_k[t])
//   w[t] = exp(score[t] - max) * scale_v[t], W[t] = round(w[t] * (32767 / max w))
//   out[d] = float(sum over t of W[t] v[t][d]) * (max w / 32767)
// No sum leaves int32: 16383 * 127 * head_dim up to MOST_Q8_HEAD_DIM, 32767 * 127 * ATTENTION_SEGMENT.

constexpr float MOST_QUERY = 16383.0f, MOST_WEIGHT = 32767.0f;
static_assert(16383LL * 127 * MOST_Q8_HEAD_DIM < 1LL << 31, "scores fit");
static_assert(32767LL * 127 * ATTENTION_SEGMENT < 1LL << 31, "weighted values fit");

/// sums[r][u * 16 ..] += steps of pairs: a holds R rows A_NEXT apart, a step A_STEP from the last; b holds U vectors
/// b_next apart, a step b_step from the last; ahead_step likewise.
template <int R, int U, int64_t A_NEXT, int64_t A_STEP>
static inline void pair_tile(const int16_t* a, const int8_t* b, int64_t b_next, int64_t b_step, int64_t steps,
                             I32x16 (&sums)[R][U], const int8_t* ahead, int64_t ahead_step) {
  for (int64_t i = 0; i < steps; ++i) {
    prefetch_step<2 * U, int8_t>(ahead, i * ahead_step);
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) {
      const ShortPairs right = load_short_pairs(b + u * b_next + i * b_step);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
        sums[r][u] = dot_pairs(sums[r][u], all_short_pairs(a + r * A_NEXT + i * A_STEP), right);
    }
  }
}

template <int R, int U>
static inline void score_tile_q8(const int16_t* q, const float* q_scale, const int8_t* keys, const float* k_scale,
                                 int64_t head_dim, float* scores, const int8_t* ahead) {
  I32x16 sums[R][U] = {};
  const int64_t group_bytes = even(head_dim) * 16;
  pair_tile<R, U, 2, 2 * R>(q, keys, group_bytes, 32, even(head_dim) / 2, sums, ahead, U * 32);
#pragma GCC unroll 8
  for (int u = 0; u < U; ++u) {
    const F32x16 scale = load16(k_scale + u * 16);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      store16(scores + r * ATTENTION_SEGMENT + u * 16, mul16(to_float16(sums[r][u]), mul16(all16(q_scale[r]), scale)));
  }
}

/// Key groups [begin, end) of a block for `rows` <= R rows; q [head_dim / 2][rows][2].
template <int R>
static void score_groups_q8(int64_t rows, const int16_t* q, const float* q_scale, const int8_t* keys, int64_t head_dim,
                            int64_t begin, int64_t end, float* scores, const int8_t* ahead) {
  if (rows < R) {
    if constexpr (R > 1) score_groups_q8<R - 1>(rows, q, q_scale, keys, head_dim, begin, end, scores, ahead);
    return;
  }
  constexpr int U = tile_width<R>();
  const int64_t group_bytes = even(head_dim) * 16;
  const float* const k_scale = q8_key_scales(keys, head_dim);
  int64_t g = begin;
  for (; g + U <= end; g += U)
    score_tile_q8<R, U>(q, q_scale, keys + g * group_bytes, k_scale + g * 16, head_dim, scores + g * 16,
                        ahead + g * group_bytes);
  for (; g < end; ++g)
    score_tile_q8<R, 1>(q, q_scale, keys + g * group_bytes, k_scale + g * 16, head_dim, scores + g * 16,
                        ahead + g * group_bytes);
}

template <int R, int U>
static inline void value_tile_q8(const int16_t* weights, const int8_t* values, int64_t width, int64_t steps,
                                 int32_t* out, int64_t out_stride, const int8_t* ahead) {
  I32x16 sums[R][U];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) sums[r][u] = load16_i32(out + r * out_stride + u * 16);
  pair_tile<R, U, 2 * ATTENTION_SEGMENT, 2>(weights, values, 32, 2 * width, steps, sums, ahead, 2 * width);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) store16_i32(out + r * out_stride + u * 16, sums[r][u]);
}

/// Keys [2 begin, 2 end) of a block for `rows` <= R rows of weights.
template <int R>
static void add_values_q8(int64_t rows, const int16_t* weights, const int8_t* values, int64_t width, int64_t begin,
                          int64_t end, int32_t* out, int64_t out_stride, const int8_t* ahead) {
  if (rows < R) {
    if constexpr (R > 1) add_values_q8<R - 1>(rows, weights, values, width, begin, end, out, out_stride, ahead);
    return;
  }
  constexpr int U = tile_width<R>();
  const int64_t from = begin * 2 * width;
  int64_t d = 0;
  for (; d + U * 16 <= width; d += U * 16)
    value_tile_q8<R, U>(weights + 2 * begin, values + from + 2 * d, width, end - begin, out + d, out_stride,
                        ahead + from + 2 * d);
  for (; d < width; d += 16)
    value_tile_q8<R, 1>(weights + 2 * begin, values + from + 2 * d, width, end - begin, out + d, out_stride,
                        ahead + from + 2 * d);
}

static void pack_queries_q8(const AttentionArgs& args, int16_t* packed, float* scale, float* row) {
  const int64_t rows = args.n_tokens * args.group, width = padded16(args.head_dim);
  for (int64_t tile = 0; tile < tile_count(rows); ++tile) {
    const int64_t begin = tile_begin(tile, rows), end = tile_begin(tile + 1, rows);
    for (int64_t r = begin; r < end; ++r) {
      const float* const q = args.q + r / args.group * args.q_stride + r % args.group * args.head_dim;
      for (int64_t d = 0; d < args.head_dim; ++d) row[d] = q[d] * args.scale;
      int16_t* const to = packed + begin * width + 2 * (r - begin);
      scale[r] = quantize_to(row, args.head_dim, MOST_QUERY, [&](int64_t first, F32x16 whole) {
        int16_t codes[16];
        store16_i16(codes, whole);
        for (int64_t d = 0; d < 16; d += 2) memcpy(to + (first + d) * (end - begin), codes + d, 4);
      });
    }
  }
}

// Scores of one row to int16 weights in the same place, [ATTENTION_SEGMENT], 0 for keys that are not seen; returns
// their scale. v_scales[b]: of the values of block b of the segment.
static float weights_of_row_q8(float* scores, Span s, const RowBias& bias, const float* const* v_scales, float* max,
                               float* sum) {
  weights_of_row(scores, s, bias, max, sum);
  int16_t* const weights = (int16_t*)scores;
  F32x16 most = zero16(), seen = zero16();
  const int64_t begin = s.empty() ? 0 : s.begin / 16 * 16, end = s.empty() ? 0 : (s.end + 15) / 16 * 16;
  for (int64_t t = begin; t < end; t += 16) {
    const F32x16 p = load16(scores + t);
    // The scale of a place that nobody wrote may be NaN, and its p is 0; all others are at least exp(-87).
    const F32x16 w = select_ge16(p, all16(1e-38f), mul16(p, load16(v_scales[t / KV_BLOCK] + t % KV_BLOCK)), zero16());
    most = max16(w, most);
    seen = fma16(w, zero16(), seen);
    store16(scores + t, w);
  }
  const bool finite = all_finite(seen);
  const float largest = fold_max16(most);
  const bool some = finite && largest >= SMALLEST_AMAX;
  const F32x16 factor = all16(some ? MOST_WEIGHT / largest : 0.0f);
  // Halves of the floats' size: written behind what is still to be read.
  for (int64_t t = 0; t < begin; t += 16) store16_i16(weights + t, zero16());
  for (int64_t t = begin; t < end; t += 16)
    store16_i16(weights + t, some ? round16(mul16(load16(scores + t), factor)) : zero16());
  for (int64_t t = end; t < ATTENTION_SEGMENT; t += 16) store16_i16(weights + t, zero16());
  return some ? largest / MOST_WEIGHT : finite ? 0.0f : __builtin_nanf("");
}

static inline void prefetch_scales(const float* scales) {
  for (int64_t i = 0; i < KV_BLOCK; i += 16) prefetch_far(scales + i);
}

static void segment_q8(const AttentionArgs& args, int64_t segment, float* max, float* sum, float* out,
                       int64_t out_stride, const Workspace& w) {
  const int64_t rows = args.n_tokens * args.group, width = padded16(args.head_dim);
  const Span all = {seen(args, 0, segment).begin, seen(args, args.n_tokens - 1, segment).end};
  const BlocksRead blocks(args, segment, all);
  const int16_t* const q = (const int16_t*)w.q;
  const auto of_tile = [&](int64_t tile, int64_t block) { // keys of the block that some row of the tile sees
    const int64_t begin = tile_begin(tile, rows), end = tile_begin(tile + 1, rows);
    return within_block(
        {seen(args, begin / args.group, segment).begin, seen(args, (end - 1) / args.group, segment).end}, block);
  };
  const float* v_scales[ATTENTION_SEGMENT / KV_BLOCK];
  for (int64_t i = 0; i < blocks.n; ++i) {
    v_scales[blocks.first + i] = q8_value_scales(blocks.order[blocks.n + i], args.head_dim);
    prefetch_scales(v_scales[blocks.first + i]);
  }
  for (int64_t i = 0; i < blocks.n; ++i) {
    const int64_t b = blocks.first + i;
    if (i + BLOCKS_AHEAD < blocks.n) prefetch_scales(q8_key_scales(blocks.order[i + BLOCKS_AHEAD], args.head_dim));
    for (int64_t tile = 0; tile < tile_count(rows); ++tile) {
      const int64_t begin = tile_begin(tile, rows), n = tile_begin(tile + 1, rows) - begin;
      const Span s = of_tile(tile, b);
      if (s.empty()) continue;
      score_groups_q8<TILE_ROWS>(n, q + begin * width, w.q_scale + begin, (const int8_t*)blocks.order[i], args.head_dim,
                                 s.begin / 16, (s.end + 15) / 16, w.scores + begin * ATTENTION_SEGMENT + b * KV_BLOCK,
                                 (const int8_t*)blocks.order[i + BLOCKS_AHEAD]);
    }
  }
  for (const void* next : args.ahead)
    if (next) prefetch_scales(q8_key_scales(next, args.head_dim));
  int32_t* const sums = (int32_t*)out;
  for (int64_t r = 0; r < rows; ++r) {
    w.v_scale[r] = weights_of_row_q8(w.scores + r * ATTENTION_SEGMENT, seen(args, r / args.group, segment),
                                     RowBias(args, r, segment), v_scales, max + r, sum + r);
    for (int64_t d = 0; d < width; d += 16) store16_i32(sums + r * out_stride + d, I32x16{});
  }
  for (int64_t i = 0; i < blocks.n; ++i) {
    const int64_t b = blocks.first + i;
    for (int64_t tile = 0; tile < tile_count(rows); ++tile) {
      const int64_t begin = tile_begin(tile, rows), n = tile_begin(tile + 1, rows) - begin;
      const Span s = of_tile(tile, b);
      if (s.empty()) continue;
      add_values_q8<TILE_ROWS>(n, (const int16_t*)(w.scores + begin * ATTENTION_SEGMENT) + b * KV_BLOCK,
                               (const int8_t*)blocks.order[blocks.n + i], width, s.begin / 2, (s.end + 1) / 2,
                               sums + begin * out_stride, out_stride,
                               (const int8_t*)blocks.order[blocks.n + i + BLOCKS_AHEAD]);
    }
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < width; d += 16) {
      float* const place = out + r * out_stride + d;
      store16(place, mul16(to_float16(load16_i32((const int32_t*)place)), all16(w.v_scale[r])));
    }
}
