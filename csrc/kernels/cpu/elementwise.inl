// Sums and products element by element.

static void add(const float* a, int64_t n, float* x) {
  map16(a, x, n, x, [](F32x16 u, F32x16 v) { return add16(v, u); });
}

static void multiply(float factor, int64_t n, float* x) {
  const F32x16 f = all16(factor);
  map16(x, n, x, [f](F32x16 v) { return mul16(v, f); });
}
