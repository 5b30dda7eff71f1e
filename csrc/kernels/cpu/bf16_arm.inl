// What of a bf16 product is denormal, as x86 decides it: after rounding. The FZ mode of aarch64 decides before, so a
// sum that rounds up to 2^-126 becomes zero there. The processor marks what it flushes, and work with a mark, which
// weights of real models hardly ever leave, is done again by these, an element at a time.

static inline void forget_flushed() { asm volatile("msr fpsr, xzr" ::: "memory"); }
static inline bool any_flushed() {
  uint64_t status;
  asm volatile("mrs %0, fpsr" : "=r"(status)::"memory");
  return status >> 3 & 1; // UFC
}

static inline float magnitude(float x) { return __builtin_fabsf(x); }
static inline float without_denormal(float x) { return magnitude(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }

// a * b + c of numbers of which none is denormal, a and b of eight bits.
static inline float fma_flushed(float a, float b, float c) {
  const float plain = fma1(a, b, c);
  if (!(magnitude(plain) <= 0x1p-125f) || magnitude(c) >= 1.0f) return plain; // c cancels to zero, or to far more
  // 2^64 times as large, where 24 bits are left after rounding; the smaller factor has room for that.
  const bool a_smaller = magnitude(a) < magnitude(b);
  const float scaled = fma1((a_smaller ? a : b) * 0x1p64f, a_smaller ? b : a, c * 0x1p64f);
  return magnitude(scaled) < 0x1p-62f ? __builtin_copysignf(0.0f, scaled) : scaled * 0x1p-64f;
}

// Not inline: it must stay outside of where the processor flushes.
__attribute__((noinline)) static void matmul_bf16_by_elements(const MatmulArgs& a) {
  const int64_t last = a.panel_end * PANEL_ROWS < a.n_rows ? a.panel_end * PANEL_ROWS : a.n_rows;
  for (int64_t row = a.panel_begin * PANEL_ROWS; row < last; ++row) {
    const uint8_t* weights = a.panels + row / PANEL_ROWS * a.panel_bytes + row % PANEL_ROWS * 4;
    for (int64_t token = a.token_begin; token < a.token_end; ++token) {
      const float* x = a.in.x + token * a.in.x_stride;
      float acc = 0.0f;
      for (int64_t first = 0; first < a.k; first += 32) {
        float chains[2] = {0.0f, 0.0f}; // over even k, over odd k
        for (int64_t k = first; k < a.k && k < first + 32; ++k) {
          const uint8_t* code = weights + layout::bf16_element(k);
          const uint32_t bits = (uint32_t)code[0] << 16 | (uint32_t)code[1] << 24;
          float w;
          memcpy(&w, &bits, 4);
          chains[k % 2] = fma_flushed(without_denormal(w), without_denormal(x[k]), chains[k % 2]);
        }
        acc = without_denormal(acc + without_denormal(chains[0] + chains[1]));
      }
      a.out[token * a.out_stride + row] = acc;
    }
  }
}
