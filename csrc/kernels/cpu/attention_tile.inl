// The two inner products of attention over a block of the cache, for R query rows at a time. Every sum is one chain:
// over dimensions for scores, over keys for values; a tile only decides which chains run side by side. While it works
// it fetches what will be read BLOCKS_AHEAD blocks later: `ahead` is the same place there.
// Tiles are inlined by force: alone, gcc 12 gives some of them a register too few, and f16 heads of 64 lose a third.

constexpr int BLOCKS_AHEAD = 2; // one of 4 KiB (q8 of 64) is read in less time than memory takes to answer
constexpr int TILE_ROWS = 6;
constexpr int64_t BLOCK_GROUPS = KV_BLOCK / 16; // groups of sixteen keys in a block

// Vectors of keys or of dimensions that R rows work on at a time.
template <int R>
constexpr int tile_width() {
  return TILE_SUMS / R >= 4 ? 4 : TILE_SUMS / R >= 2 ? 2 : 1;
}

// What a step of U vectors of T reads, of another place.
template <int U, class T>
static inline void prefetch_step(const void* ahead, int64_t element) {
#pragma GCC unroll 8
  for (int64_t i = 0; i < U * 16 * (int64_t)sizeof(T); i += 64)
    prefetch_far((const char*)ahead + element * (int64_t)sizeof(T) + i);
}

/// scores[r][u * 16 ..] = sum over d of q[d][r] * k[u][d][16], rows of scores ATTENTION_SEGMENT apart
template <int R, int U, class T>
static FORCE_INLINE void score_tile(const float* q, const T* k, int64_t head_dim, float* scores, const T* ahead) {
  F32x16 sum[R][U];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) sum[r][u] = zero16();
  for (int64_t d = 0; d < head_dim; ++d) {
    prefetch_step<U, T>(ahead, d * U * 16);
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) {
      const F32x16 key = load_elements(k + (u * head_dim + d) * 16);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][u] = fma16(broadcast16(q + d * R + r), key, sum[r][u]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) store16(scores + r * ATTENTION_SEGMENT + u * 16, sum[r][u]);
}

/// Key groups [begin, end) of a block for `rows` <= R rows; q [head_dim][rows].
template <int R, class T>
static void score_groups(int64_t rows, const float* q, const T* k, int64_t head_dim, int64_t begin, int64_t end,
                         float* scores, const T* ahead) {
  if (rows < R) {
    if constexpr (R > 1) score_groups<R - 1>(rows, q, k, head_dim, begin, end, scores, ahead);
    return;
  }
  constexpr int U = tile_width<R>();
  int64_t g = begin;
  for (; g + U <= end; g += U)
    score_tile<R, U>(q, k + g * head_dim * 16, head_dim, scores + g * 16, ahead + g * head_dim * 16);
  for (; g < end; ++g) score_tile<R, 1>(q, k + g * head_dim * 16, head_dim, scores + g * 16, ahead + g * head_dim * 16);
}

/// out[r][u * 16 ..] += sum over n keys of p[r][t] * v[t][u * 16 ..], rows of p ATTENTION_SEGMENT apart
template <int R, int U, class T>
static FORCE_INLINE void value_tile(const float* p, const T* v, int64_t v_stride, int64_t n, float* out,
                                    int64_t out_stride, const T* ahead) {
  F32x16 sum[R][U];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) sum[r][u] = load16(out + r * out_stride + u * 16);
  for (int64_t t = 0; t < n; ++t) {
    prefetch_step<U, T>(ahead, t * v_stride);
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) {
      const F32x16 value = load_elements(v + t * v_stride + u * 16);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][u] = fma16(broadcast16(p + r * ATTENTION_SEGMENT + t), value, sum[r][u]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) store16(out + r * out_stride + u * 16, sum[r][u]);
}

/// Keys [begin, end) of a block for `rows` <= R rows; v [KV_BLOCK][width], rows v_stride apart; p and out of the first
/// row.
template <int R, class T>
static void add_values(int64_t rows, const float* p, const T* v, int64_t width, int64_t v_stride, int64_t begin,
                       int64_t end, float* out, int64_t out_stride, const T* ahead) {
  if (rows < R) {
    if constexpr (R > 1) add_values<R - 1>(rows, p, v, width, v_stride, begin, end, out, out_stride, ahead);
    return;
  }
  constexpr int U = tile_width<R>();
  int64_t d = 0;
  for (; d + U * 16 <= width; d += U * 16)
    value_tile<R, U>(p + begin, v + begin * v_stride + d, v_stride, end - begin, out + d, out_stride,
                     ahead + begin * v_stride + d);
  for (; d < width; d += 16)
    value_tile<R, 1>(p + begin, v + begin * v_stride + d, v_stride, end - begin, out + d, out_stride,
                     ahead + begin * v_stride + d);
}
