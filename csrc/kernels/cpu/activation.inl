// Activations of feed-forward layers, y = f(a), and y = f(a) * b: Shazeer 2020, arXiv:2002.05202

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

// The normal distribution's share below -x, for x >= 0, within 7 roundings: exp(-x^2 / 2) times Mills' ratio, which is
// a polynomial of degree 9 in s = (x - 4) / (x + 4) over x + 4, fitted at Chebyshev's nodes of x in [0, 14].
static inline F32x16 share_below(F32x16 x) {
  const F32x16 r = div16(all16(1.0f), add16(x, all16(4.0f))), s = fma16(r, all16(-8.0f), all16(1.0f));
  F32x16 p = all16(-1.201843988e-04f);
  p = fma16(p, s, all16(2.012617333e-04f));
  p = fma16(p, s, all16(1.572317909e-03f));
  p = fma16(p, s, all16(-3.526183777e-03f));
  p = fma16(p, s, all16(-7.529250812e-03f));
  p = fma16(p, s, all16(6.040668860e-02f));
  p = fma16(p, s, all16(-1.865226775e-01f));
  p = fma16(p, s, all16(3.871366978e-01f));
  p = fma16(p, s, all16(-6.078966260e-01f));
  p = fma16(p, s, all16(7.552851439e-01f));
  // What x * x is rounded by is as large as an error of exp's argument.
  const F32x16 square = mul16(x, x), rest = fma16(x, x, neg16(square)), half = all16(-0.5f);
  const F32x16 e = exp16(mul16(square, half));
  return mul16(fma16(e, mul16(rest, half), e), mul16(p, r));
}

// a times the normal distribution's share below a: x / 2 (1 + erf(x / sqrt(2))) without its cancellation.
static inline F32x16 gelu16(F32x16 a) {
  const F32x16 tail = share_below(min16(all16(14.0f), abs16(a)));
  const F32x16 cut = min16(all16(1000.0f), max16(all16(-1000.0f), a)); // infinity times a tail of 0 is none
  return select_ge16(a, zero16(), fma16(neg16(cut), tail, a), mul16(cut, tail));
}

static inline F32x16 relu16(F32x16 a) { return max16(zero16(), a); } // NaN where a is

// use(f) with the function of a gate
template <class Use>
static inline void with_gate(Gate gate, Use use) {
  if (gate == Gate::silu)
    use([](F32x16 a) { return silu16(a); });
  else if (gate == Gate::gelu_tanh)
    use([](F32x16 a) { return gelu_tanh16(a); });
  else if (gate == Gate::gelu)
    use([](F32x16 a) { return gelu16(a); });
  else if (gate == Gate::relu)
    use([](F32x16 a) { return relu16(a); });
  else // So et al. 2021, arXiv:2109.08668
    use([](F32x16 a) { return mul16(relu16(a), relu16(a)); });
}

// gpt-oss, arXiv:2508.10925: a and b are cut off at 7, the sigmoid is of 1.702 a, and one is added to b.
static inline F32x16 clamped_silu16(F32x16 a, F32x16 b) {
  const F32x16 limit = all16(7.0f), gate = min16(limit, a), up = max16(neg16(limit), min16(limit, b));
  return mul16(times_sigmoid(gate, mul16(gate, all16(1.702f))), add16(up, all16(1.0f)));
}

static void gated_activation(Gate gate, const float* a, const float* b, int64_t n, float* y) {
  if (gate == Gate::clamped_silu) return map16(a, b, n, y, [](F32x16 u, F32x16 v) { return clamped_silu16(u, v); });
  with_gate(gate, [=](auto f) { map16(a, b, n, y, [f](F32x16 u, F32x16 v) { return mul16(f(u), v); }); });
}

static void activation(Gate gate, const float* a, int64_t n, float* y) {
  with_gate(gate, [=](auto f) { map16(a, n, y, f); });
}

static void soft_cap(float cap, int64_t n, float* x) {
  const F32x16 c = all16(cap);
  map16(x, n, x, [c](F32x16 v) { return mul16(c, tanh16(div16(v, c))); });
}
