// Weights in bf16: what the tile instruction of AMX computes. Per 32 k, with x rounded to bf16: e a chain over even k
// from +0, o over odd k, acc = acc + (e + o), denormals flushed to zero in and out.

// Element i of the four of each row that two lines hold.
static FORCE_INLINE F32xL weights_of_four(const uint8_t* lines, int i) {
  const uint16_t* line = (const uint16_t*)(lines + i % 2 * layout::LINE);
  return i < 2 ? loadL_bf16_high(line) : loadL_bf16_low(line);
}

// How four k are added to both chains, and where x keeps them.
struct Bf16AsFloats {
  static constexpr int TOKENS = FLOAT_TOKENS < 4 ? FLOAT_TOKENS : 4; // of tiles for many tokens
  static constexpr int COLUMNS = FLOAT_COLUMNS;
  static constexpr int64_t X_FLOATS = 4; // that four k of x take
  static constexpr bool IN_TURN = true;  // ChainsInTurn pays

  template <int T>
  static FORCE_INLINE void add(const uint8_t* lines, const float* x, int64_t stride, F32xL (&even)[T],
                               F32xL (&odd)[T]) {
    UNROLL for (int i = 0; i < 4; i += 2) {
      const F32xL w_even = weights_of_four(lines, i), w_odd = weights_of_four(lines, i + 1);
      UNROLL for (int t = 0; t < T; ++t) {
        even[t] = fmaL(w_even, allL(x[t * stride + i]), even[t]);
        odd[t] = fmaL(w_odd, allL(x[t * stride + i + 1]), odd[t]);
      }
    }
  }
  static inline float x_of(const float* x, int64_t i) { return x[i]; }
};

template <class Four>
struct TilesBf16 {
  // Both chains of each column and token at once.
  template <int T, int R>
  struct ChainsTogether {
    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      const uint8_t* w[R];
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        w[r] = c.panel + c.lane * 4;
      }
      const int64_t stride = a.in.x_stride;
      const float* x = a.in.x + token * stride;
      F32xL acc[R][T];
      UNROLL for (int r = 0; r < R; ++r) UNROLL for (int t = 0; t < T; ++t) acc[r][t] = zeroL();
      for (int64_t first = 0; first < a.k; first += 32) {
        const int64_t end = a.k - first < 32 ? a.k : first + 32;
        F32xL even[R][T], odd[R][T];
        UNROLL for (int r = 0; r < R; ++r) UNROLL for (int t = 0; t < T; ++t) even[r][t] = odd[r][t] = zeroL();
        int64_t k = first;
        for (; k + 4 <= end; k += 4, x += Four::X_FLOATS)
          UNROLL for (int r = 0; r < R; ++r)
              Four::template add<T>(w[r] + k * PANEL_ROWS * 2, x, stride, even[r], odd[r]);
        for (int i = 0; k + i < end; i += 2) { // an odd k is filled up with zero
          UNROLL for (int r = 0; r < R; ++r) {
            const uint8_t* lines = w[r] + k * PANEL_ROWS * 2;
            const F32xL w_even = weights_of_four(lines, i), w_odd = weights_of_four(lines, i + 1);
            UNROLL for (int t = 0; t < T; ++t) {
              even[r][t] = fmaL(w_even, allL(Four::x_of(x + t * stride, i)), even[r][t]);
              odd[r][t] = fmaL(w_odd, allL(k + i + 1 < end ? Four::x_of(x + t * stride, i + 1) : 0.0f), odd[r][t]);
            }
          }
        }
        UNROLL for (int r = 0; r < R; ++r) UNROLL for (int t = 0; t < T; ++t) acc[r][t] =
            addL(acc[r][t], addL(even[r][t], odd[r][t]));
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[r][t]);
    }
  };

  // All even k of a run before its odd ones: half as many sums at once, so that they are of more tokens and columns.
  template <int T, int R>
  struct ChainsInTurn {
    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      const uint8_t* w[R];
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        w[r] = c.panel + c.lane * 4;
      }
      const int64_t stride = a.in.x_stride;
      const float* x = a.in.x + token * stride;
      F32xL acc[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] = zeroL();
      for (int64_t first = 0; first < a.k; first += 32) {
        const int64_t end = a.k - first < 32 ? a.k : first + 32;
        F32xL even[T][R], odd[T][R];
        chains(w, x, stride, first, end, 0, even);
        chains(w, x, stride, first, end, 1, odd);
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] =
            addL(acc[t][r], addL(even[t][r], odd[t][r]));
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[t][r]);
    }

    static FORCE_INLINE void chains(const uint8_t* const (&w)[R], const float* x, int64_t stride, int64_t first,
                                    int64_t end, int odd, F32xL (&out)[T][R]) {
      F32xL sums[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) sums[t][r] = zeroL();
      int64_t k = first;
      for (; k + 4 <= end; k += 4)
        UNROLL for (int i = 0; i < 4; i += 2) add(w, k, i + odd, x + k + i + odd, stride, sums);
      const float zero = 0;
      for (int i = 0; k + i < end; i += 2) { // an odd k is filled up with zero
        const bool none = k + i + odd >= end;
        add(w, k, i + odd, none ? &zero : x + k + i + odd, none ? 0 : stride, sums);
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) out[t][r] = sums[t][r];
    }

    static FORCE_INLINE void add(const uint8_t* const (&w)[R], int64_t k, int i, const float* x, int64_t stride,
                                 F32xL (&sums)[T][R]) {
      F32xL weights[R];
      UNROLL for (int r = 0; r < R; ++r) weights[r] = weights_of_four(w[r] + k * PANEL_ROWS * 2, i);
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) sums[t][r] =
          fmaL(weights[r], allL(x[t * stride]), sums[t][r]);
    }
  };

  template <int T, int R>
  struct Tile {
    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      if constexpr (Four::IN_TURN && T > 1 && R > 1)
        ChainsInTurn<T, R>::run(a, first_column, token);
      else
        ChainsTogether<T, R>::run(a, first_column, token);
    }
  };

  __attribute__((noinline)) static void flushed(const MatmulArgs& a) {
    run_tiles<Tile, ONE_COLUMNS, FEW_TOKENS, Four::IN_TURN ? PANEL_ROWS / LANES : 1, Four::TOKENS, Four::COLUMNS>(a);
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
      const uint8_t* p = panel + layout::bf16_element(i) + lane * 4;
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
