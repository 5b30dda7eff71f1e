// Softmax, its two numbers alone, and the index of the largest.

constexpr float MINUS_INFINITY = -__builtin_inff();

// The largest of n floats; which of two zeros, and whether a NaN hides, depends on the order, which is fixed.
static float largest(const float* x, int64_t n) {
  F32x16 m = all16(MINUS_INFINITY);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) m = max16(m, load16(x + i));
  if (i < n) m = max16(m, load_first(x + i, n - i, MINUS_INFINITY));
  return fold_max16(m);
}

// Sum of exp(x - max): sixteen lanes in order over chunks of 1024, folded; the chunks in order in double, so that
// a vocabulary of 262,144 costs no more accuracy than 1,024. Writes the terms to y unless it is null.
static float sum_exp(const float* x, int64_t n, float max, float* y) {
  const F32x16 m = all16(max);
  double total = 0.0;
  for (int64_t begin = 0; begin < n; begin += 1024) {
    const int64_t end = n - begin < 1024 ? n : begin + 1024;
    F32x16 sum = zero16();
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) {
      const F32x16 e = exp16(sub16(load16(x + i), m));
      sum = add16(sum, e);
      if (y) store16(y + i, e);
    }
    if (i < end) {
      // The lanes past the end are exp(-infinity) = +0, or NaN where the others are NaN already.
      const F32x16 e = exp16(sub16(load_first(x + i, end - i, MINUS_INFINITY), m));
      sum = add16(sum, e);
      if (y) store_first(y + i, end - i, e);
    }
    total = total + (double)fold_add16(sum);
  }
  return (float)total;
}

static void softmax(const float* x, int64_t n, float* y) {
  const F32x16 sum = all16(sum_exp(x, n, largest(x, n), y));
  map16(y, n, y, [sum](F32x16 e) { return div16(e, sum); });
}

static void max_sum_exp(const float* x, int64_t n, float* max, float* sum) {
  *max = largest(x, n);
  *sum = sum_exp(x, n, *max, nullptr);
}

// Chunks of 256 by their maxima, then the first place of the maximum in the first chunk that has it.
static int64_t argmax(const float* x, int64_t n) {
  float best = MINUS_INFINITY;
  int64_t place = -1;
  for (int64_t begin = 0; begin < n; begin += 256) {
    const int64_t end = n - begin < 256 ? n : begin + 256;
    F32x16 m = all16(MINUS_INFINITY);
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) m = max16(load16(x + i), m); // the second where the first is NaN
    if (i < end) m = max16(load_first(x + i, end - i, MINUS_INFINITY), m);
    const float chunk = fold_max16(m);
    if (chunk > best) {
      best = chunk;
      place = begin;
    }
  }
  for (int64_t i = place < 0 ? 0 : place; i < n; ++i)
    if (x[i] == best) return i;
  return -1; // nothing but NaN
}
