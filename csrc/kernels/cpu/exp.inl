// exp and tanh in one fixed order of operations, and the pieces of arrays that fill no register.

// exp(x) for x <= 0 within 1 unit in the last place; 0 below -87, NaN for NaN. x = n ln2 + r, |r| <= ln2 / 2, ln2 in
// two steps (n times the first is exact), then Cephes' polynomial of degree 6.
static inline F32x16 exp16(F32x16 x) {
  const F32x16 clamped = max16(all16(-88.0f), x); // -infinity would give 0 * infinity
  // n: a NaN becomes -126 here and comes back through r
  const F32x16 n = max16(round16(mul16(clamped, all16(1.44269504f))), all16(-126.0f));
  F32x16 r = fma16(n, all16(-0.693359375f), clamped);
  r = fma16(n, all16(2.12194440e-4f), r);
  F32x16 p = all16(1.9875691500e-4f);
  p = fma16(p, r, all16(1.3981999507e-3f));
  p = fma16(p, r, all16(8.3334519073e-3f));
  p = fma16(p, r, all16(4.1665795894e-2f));
  p = fma16(p, r, all16(1.6666665459e-1f));
  p = fma16(p, r, all16(5.0000001201e-1f));
  p = fma16(p, mul16(r, r), add16(r, all16(1.0f)));
  const F32x16 below = all16(-0x1.5c0002p+6f); // the float next to -87
  return select_ge16(below, x, zero16(), mul16(p, pow2_16(n)));
}

// tanh: Cephes' odd polynomial below 0.625, where 1 - exp would cancel; 2 units in the last place.
static inline F32x16 tanh16(F32x16 x) {
  const F32x16 a = abs16(x), one = all16(1.0f), z = mul16(a, a);
  F32x16 p = all16(-5.70498872745e-3f);
  p = fma16(p, z, all16(2.06390887954e-2f));
  p = fma16(p, z, all16(-5.37397155531e-2f));
  p = fma16(p, z, all16(1.33314422036e-1f));
  p = fma16(p, z, all16(-3.33332819422e-1f));
  const F32x16 small = fma16(mul16(p, z), a, a);
  const F32x16 e = exp16(mul16(a, all16(-2.0f)));
  const F32x16 large = div16(sub16(one, e), add16(one, e));
  const F32x16 y = select_ge16(a, all16(0.625f), large, small);
  return select_ge16(x, zero16(), y, neg16(y));
}

// n < 16 floats; the lanes past them read as `rest`.
static inline F32x16 load_first(const float* p, int64_t n, float rest) {
  float lanes[16];
  for (int64_t i = 0; i < 16; ++i) lanes[i] = i < n ? p[i] : rest;
  return load16(lanes);
}

static inline void store_first(float* p, int64_t n, F32x16 a) {
  float lanes[16];
  store16(lanes, a);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

// y = op(lanes of x) for n floats, whatever n.
template <class Op>
static inline void map16(const float* x, int64_t n, float* y, Op op) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store16(y + i, op(load16(x + i)));
  if (i < n) store_first(y + i, n - i, op(load_first(x + i, n - i, 0.0f)));
}

template <class Op>
static inline void map16(const float* a, const float* b, int64_t n, float* y, Op op) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store16(y + i, op(load16(a + i), load16(b + i)));
  if (i < n) store_first(y + i, n - i, op(load_first(a + i, n - i, 0.0f), load_first(b + i, n - i, 0.0f)));
}
