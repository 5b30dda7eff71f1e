// Float weights.
//   f32, f16: exact to float, one chain acc = fma(w, x, acc), k ascending.
//   bf16: what the tile instruction of AMX computes. Per 32 k, with x rounded to bf16: e a chain over even k from +0,
//   o over odd k, acc = acc + (e + o), denormals flushed to zero in and out.

struct FormatF32 {
  static constexpr int64_t BYTES = 4;
  static inline F32xL load(const uint8_t* p) { return loadL((const float*)p); }
};
struct FormatF16 {
  static constexpr int64_t BYTES = 2;
  static inline F32xL load(const uint8_t* p) { return loadL_f16((const uint16_t*)p); }
};

template <class F>
struct TilesFloat {
  template <int T, int R>
  struct Tile {
    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      const uint8_t* w[R];
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        w[r] = c.panel + c.lane * F::BYTES;
      }
      const float* x = a.in.x + token * a.in.x_stride;
      F32xL acc[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] = zeroL();
      for (int64_t k = 0; k < a.k; ++k) {
        UNROLL for (int r = 0; r < R; ++r) {
          const F32xL weights = F::load(w[r] + k * PANEL_ROWS * F::BYTES);
          UNROLL for (int t = 0; t < T; ++t) acc[t][r] = fmaL(weights, allL(x[t * a.in.x_stride + k]), acc[t][r]);
        }
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[t][r]);
    }
  };

  static void matmul(const MatmulArgs& a) {
    run_tiles<Tile, FLOAT_ONE_COLUMNS, FEW_TOKENS, FLOAT_COLUMNS, FLOAT_TOKENS, FLOAT_COLUMNS>(a);
  }

  static void unpack_row(const uint8_t* panel, int64_t lane, int64_t k, float* out) {
    for (int64_t i = 0; i < k; ++i) {
      float rows[LANES];
      storeL(rows, F::load(panel + (i * PANEL_ROWS + lane / LANES * LANES) * F::BYTES));
      out[i] = rows[lane % LANES];
    }
  }
};

struct TilesBf16 {
  template <int T, int R>
  struct Tile {
    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      const uint8_t* w[R];
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        w[r] = c.panel + c.lane * 4;
      }
      const float* x = a.in.x + token * a.in.x_stride;
      F32xL acc[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] = zeroL();
      for (int64_t first = 0; first < a.k; first += 32) {
        const int64_t end = a.k - first < 32 ? a.k : first + 32;
        F32xL even[T][R], odd[T][R];
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) even[t][r] = odd[t][r] = zeroL();
        for (int64_t k = first; k < end; k += 2) {
          UNROLL for (int r = 0; r < R; ++r) {
            const uint16_t* pair = (const uint16_t*)(w[r] + k * PANEL_ROWS * 2);
            const F32xL w_even = loadL_bf16_even(pair), w_odd = loadL_bf16_odd(pair);
            UNROLL for (int t = 0; t < T; ++t) {
              const float* at = x + t * a.in.x_stride + k;
              even[t][r] = fmaL(w_even, allL(at[0]), even[t][r]);
              odd[t][r] = fmaL(w_odd, allL(k + 1 < a.k ? at[1] : 0.0f), odd[t][r]); // an odd k is filled up with zero
            }
          }
        }
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] =
            addL(acc[t][r], addL(even[t][r], odd[t][r]));
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[t][r]);
    }
  };

  __attribute__((noinline)) static void flushed(const MatmulArgs& a) {
    run_tiles<Tile, ONE_COLUMNS, FEW_TOKENS, 1, FEW_TOKENS, 1>(a);
  }

  static void matmul(const MatmulArgs& a) {
    const uint64_t mode = float_mode();
    set_float_mode(mode | FLUSH_DENORMALS);
#if defined(__aarch64__)
    forget_flushed();
    flushed(a);
    set_float_mode(mode);
    if (any_flushed()) matmul_bf16_by_elements(a);
#else
    flushed(a);
    set_float_mode(mode);
#endif
  }

  static void unpack_row(const uint8_t* panel, int64_t lane, int64_t k, float* out) {
    for (int64_t i = 0; i < k; ++i) {
      const uint8_t* p = panel + (i / 2 * PANEL_ROWS + lane) * 4 + i % 2 * 2;
      const uint32_t u = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
      memcpy(out + i, &u, 4);
    }
  }

 private:
#if defined(__x86_64__)
  static constexpr uint64_t FLUSH_DENORMALS = 0x8040; // FTZ, DAZ
  static inline uint64_t float_mode() { return __builtin_ia32_stmxcsr(); }
  static inline void set_float_mode(uint64_t mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }
#elif defined(__aarch64__)
  static constexpr uint64_t FLUSH_DENORMALS = (uint64_t)1 << 24; // FZ
  static inline uint64_t float_mode() {
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static inline void set_float_mode(uint64_t mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
#endif
};
