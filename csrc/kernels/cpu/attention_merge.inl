// Segments of attention merged in order, the sink last, and divided by the sum.

// total = total and one more segment, n floats (a multiple of 16); a sum of 0 means nothing yet, or nothing to add.
static void merge_segment(float* total_max, float* total_sum, float* total, float max, float sum, const float* out,
                          int64_t n) {
  if (sum == 0.0f) return;
  if (*total_sum == 0.0f) {
    *total_max = max;
    *total_sum = sum;
    for (int64_t d = 0; d < n; d += 16) store16(total + d, load16(out + d));
    return;
  }
  const float both = *total_max > max ? *total_max : max;
  float factors[16] = {*total_max - both, max - both};
  store16(factors, exp16(load16(factors)));
  *total_sum = fma1(*total_sum, factors[0], sum * factors[1]);
  *total_max = both;
  const F32x16 e = all16(factors[0]), f = all16(factors[1]);
  for (int64_t d = 0; d < n; d += 16) store16(total + d, fma16(load16(total + d), e, mul16(load16(out + d), f)));
}

// One more segment whose only key has the score `sink`, and the value zero: it takes a share of the sum.
static void merge_sink(float sink, float* total_max, float* total_sum, float* total, int64_t n) {
  const float both = *total_max > sink ? *total_max : sink;
  float factors[16] = {*total_max - both, sink - both};
  store16(factors, exp16(load16(factors)));
  *total_sum = fma1(*total_sum, factors[0], factors[1]);
  *total_max = both;
  const F32x16 e = all16(factors[0]);
  for (int64_t d = 0; d < n; d += 16) store16(total + d, mul16(load16(total + d), e));
}

static void divide_by_sum(const float* total, float sum, int64_t n, float* y) {
  const F32x16 inverse = all16(sum == 0.0f ? 0.0f : 1.0f / sum);
  map16(total, n, y, [inverse](F32x16 v) { return mul16(v, inverse); });
}

// The factors of merge_segment for sixteen segments at a time, then the same chains.
static void attention_merge(int64_t n_segments, const float* max, const float* sum, int64_t scalar_stride,
                            const float* out, int64_t out_stride, int64_t head_dim, const float* sink, float* y) {
  for (int64_t begin = 0; begin < head_dim; begin += 256) {
    const int64_t n = smaller(head_dim - begin, 256), width = padded16(n);
    float total[256] = {}, total_max = MINUS_INFINITY, total_sum = 0.0f;
    for (int64_t first = 0; first < n_segments; first += 16) {
      const int64_t lanes = smaller(n_segments - first, 16);
      float kept[16] = {}, added[16] = {};
      bool nothing = total_sum == 0.0f;
      for (int64_t i = 0; i < lanes; ++i) {
        const float m = max[(first + i) * scalar_stride];
        if (sum[(first + i) * scalar_stride] == 0.0f) continue;
        const float both = !nothing && total_max > m ? total_max : m;
        kept[i] = nothing ? 0.0f : total_max - both;
        added[i] = m - both;
        total_max = both;
        nothing = false;
      }
      store16(kept, exp16(load16(kept)));
      store16(added, exp16(load16(added)));
      for (int64_t i = 0; i < lanes; ++i) {
        const float s = sum[(first + i) * scalar_stride];
        const float* const from = out + (first + i) * out_stride + begin;
        if (s == 0.0f) continue;
        if (total_sum == 0.0f) {
          total_sum = s;
          for (int64_t d = 0; d < width; d += 16) store16(total + d, load16(from + d));
          continue;
        }
        total_sum = fma1(total_sum, kept[i], s * added[i]);
        const F32x16 e = all16(kept[i]), f = all16(added[i]);
        for (int64_t d = 0; d < width; d += 16)
          store16(total + d, fma16(load16(total + d), e, mul16(load16(from + d), f)));
      }
    }
    if (sink) merge_sink(*sink, &total_max, &total_sum, total, width);
    divide_by_sum(total, total_sum, n, y + begin);
  }
}
