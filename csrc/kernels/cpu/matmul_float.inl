// Float weights, f32 and f16: exact to float, one chain acc = fma(w, x, acc), k ascending.

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
        F32xL weights[R];
        UNROLL for (int r = 0; r < R; ++r) weights[r] = F::load(w[r] + k * PANEL_ROWS * F::BYTES);
        UNROLL for (int t = 0; t < T; ++t) {
          const float* const number = x + t * a.in.x_stride + k;
          const F32xL of_token = T > 4 ? broadcastL(number) : allL(*number);
          UNROLL for (int r = 0; r < R; ++r) acc[t][r] = fmaL(weights[r], of_token, acc[t][r]);
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
