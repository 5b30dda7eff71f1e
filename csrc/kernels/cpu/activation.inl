// Gates of feed-forward layers, y = gate(a) * b. Shazeer 2020, arXiv:2002.05202

// a * sigmoid(z). With e = exp(-|z|) <= 1 the sigmoid is 1 / (1 + e) or e / (1 + e): no infinity over infinity. Where
// a < -1000 the sigmoid is 0 and a is cut off, so that -infinity gives -0 too.
static inline F32x16 times_sigmoid(F32x16 a, F32x16 z) {
  const F32x16 one = all16(1.0f), e = exp16(neg16(abs16(z)));
  const F32x16 numerator = select_ge16(z, zero16(), one, e);
  return div16(mul16(max16(all16(-1000.0f), a), numerator), add16(one, e));
}

static inline F32x16 silu16(F32x16 a) { return times_sigmoid(a, a); }

// 0.5 a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) = a * sigmoid of twice the angle: the same without cancellation.
// Hendrycks and Gimpel 2016, arXiv:1606.08415
static inline F32x16 gelu_tanh16(F32x16 a) {
  const F32x16 factor = fma16(mul16(a, a), all16(0.0713548162726f), all16(1.5957691216057f));
  return times_sigmoid(a, mul16(a, factor));
}

static void gated_activation(Gate gate, const float* a, const float* b, int64_t n, float* y) {
  if (gate == Gate::silu)
    map16(a, b, n, y, [](F32x16 u, F32x16 v) { return mul16(silu16(u), v); });
  else
    map16(a, b, n, y, [](F32x16 u, F32x16 v) { return mul16(gelu_tanh16(u), v); });
}

static void soft_cap(float cap, int64_t n, float* x) {
  const F32x16 c = all16(cap);
  map16(x, n, x, [c](F32x16 v) { return mul16(c, tanh16(div16(v, c))); });
}
