// Rotary position embedding. Su et al. 2021, arXiv:2104.09864. A pair (a, b) becomes (a c - b s, a s + b c), each with
// one product rounded first, then one fma; the compiler may vectorise, but not change that.

static void rope(RopePairs pairs, const float* cos, const float* sin, int64_t n_rot, float* x) {
  const int64_t half = n_rot / 2;
  if (pairs == RopePairs::adjacent) {
    for (int64_t i = 0; i < half; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = fma1(-b, sin[i], a * cos[i]);
      x[2 * i + 1] = fma1(b, cos[i], a * sin[i]);
    }
    return;
  }
  float* const upper = x + half;
  int64_t i = 0;
  for (; i + 16 <= half; i += 16) {
    const F32x16 a = load16(x + i), b = load16(upper + i), c = load16(cos + i), s = load16(sin + i);
    store16(x + i, fma16(neg16(b), s, mul16(a, c)));
    store16(upper + i, fma16(b, c, mul16(a, s)));
  }
  for (; i < half; ++i) {
    const float a = x[i], b = upper[i];
    x[i] = fma1(-b, sin[i], a * cos[i]);
    upper[i] = fma1(b, cos[i], a * sin[i]);
  }
}
