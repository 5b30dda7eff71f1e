// y = (x - mean) * (1 / sqrt(variance + eps)) * weight + bias. Ba et al. 2016, arXiv:1607.06450

// Sums of f(x) in chunks of 256: sixteen lanes in order, folded; then the chunks in order. Lanes past n read `rest`.
template <class F>
static inline float chunked_sum(const float* x, int64_t n, float rest, F add) {
  float total = 0.0f;
  for (int64_t begin = 0; begin < n; begin += 256) {
    const int64_t end = n - begin < 256 ? n : begin + 256;
    F32x16 sum = zero16();
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) sum = add(sum, load16(x + i));
    if (i < end) sum = add(sum, load_first(x + i, end - i, rest));
    total = total + fold_add16(sum);
  }
  return total;
}

static bool layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t n, float* y) {
  const float mean = chunked_sum(x, n, 0.0f, [](F32x16 sum, F32x16 v) { return add16(sum, v); }) / (float)n;
  const F32x16 m = all16(mean);
  const auto add_square = [m](F32x16 sum, F32x16 v) {
    const F32x16 d = sub16(v, m);
    return fma16(d, d, sum);
  };
  const float variance = chunked_sum(x, n, mean, add_square) / (float)n; // of differences: no cancellation
  const F32x16 scale = all16(1.0f / sqrt1(variance + eps));
  map16(x, weight, n, y, [m, scale](F32x16 v, F32x16 w) { return mul16(mul16(sub16(v, m), scale), w); });
  if (bias) map16(bias, y, n, y, [](F32x16 b, F32x16 v) { return add16(v, b); });
  return variance <= LARGEST_FLOAT; // false for NaN
}
