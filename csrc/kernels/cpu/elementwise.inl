// Sums, products and limits element by element.

static void add(const float* a, int64_t n, float* x) {
  map16(a, x, n, x, [](F32x16 u, F32x16 v) { return add16(v, u); });
}

static void multiply(float factor, int64_t n, float* x) {
  const F32x16 f = all16(factor);
  map16(x, n, x, [f](F32x16 v) { return mul16(v, f); });
}

static void clamp(float limit, int64_t n, float* x) {
  const F32x16 low = all16(-limit), high = all16(limit);
  map16(x, n, x, [low, high](F32x16 v) { return min16(high, max16(low, v)); });
}
