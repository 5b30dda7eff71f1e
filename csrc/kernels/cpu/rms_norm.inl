// y = x * (1 / sqrt(mean(x^2) + eps)) * weight. Zhang and Sennrich 2019, arXiv:1910.07467

// Chunks of 256: sixteen lanes of fma in order, folded; the chunks' sums are added in order. Lanes past n are +0.
static float sum_of_squares(const float* x, int64_t n) {
  float total = 0.0f;
  for (int64_t begin = 0; begin < n; begin += 256) {
    const int64_t end = n - begin < 256 ? n : begin + 256;
    F32x16 squares = zero16();
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) {
      const F32x16 v = load16(x + i);
      squares = fma16(v, v, squares);
    }
    if (i < end) {
      const F32x16 v = load_first(x + i, end - i, 0.0f);
      squares = fma16(v, v, squares);
    }
    total = total + fold_add16(squares);
  }
  return total;
}

static constexpr float LARGEST_FLOAT = 3.402823466e38f;

static bool rms_norm(const float* x, const float* weight, float eps, int64_t n, float* y) {
  const float mean = sum_of_squares(x, n) / (float)n;
  const F32x16 scale = all16(1.0f / sqrt1(mean + eps));
  if (weight)
    map16(x, weight, n, y, [scale](F32x16 v, F32x16 w) { return mul16(mul16(v, scale), w); });
  else
    map16(x, n, y, [scale](F32x16 v) { return mul16(v, scale); });
  return mean <= LARGEST_FLOAT; // false for NaN
}
