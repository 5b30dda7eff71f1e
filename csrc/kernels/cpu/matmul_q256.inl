// Weights in blocks of 256 with integer sub-scales times int8 activations in blocks of 256. Per output element, from
// acc = +0, blocks ascending:
//   I = sum over sub-blocks of sub_scale * sum of (code - zero) * activation     exact int32
//   J = sum over sub-blocks of sub_min * sum of activations                      exact int32
//   acc = fma(scale * activation scale, float(I), acc)
//   acc = fma(-(min_scale * activation scale), float(J), acc)                    types with a minimum

template <class F>
struct TilesQ256 {
  using Sum = BlockSum<F::BITS, F::ZERO>;

  // Up to STREAM tokens, whose sums of all sub-blocks that share lines fit the registers: codes are unpacked there, and
  // lines of weights are read once, in order.
  static constexpr int STREAM = SUMS_AT_ONCE > F::TOGETHER ? SUMS_AT_ONCE / F::TOGETHER : 1;
  template <int T, int R>
  struct Tile {
    using Sums = Sum[T][R];

    // Sub-blocks summed side by side: those that share lines, as far as the registers reach.
    static constexpr int together(int n) { return n == 1 || n * T * R <= SUMS_AT_ONCE ? n : together(n / 2); }
    static constexpr int SIDE_BY_SIDE = together(F::TOGETHER);

    struct Block {
      const uint8_t* w[R];
      int64_t lane[R];
      const int8_t* x;
      int64_t x_stride;
      Sums16<F, T> sums16;
    };

    // STEP counts groups, those of the side by side sub-blocks in turn.
    template <int SET, int FIRST, int STEP>
    static FORCE_INLINE void add_groups(Sums (&sums)[SIDE_BY_SIDE], const Block& block) {
      if constexpr (STEP < SIDE_BY_SIDE * F::SUB_GROUPS) {
        constexpr int I = STEP % SIDE_BY_SIDE, G = STEP / SIDE_BY_SIDE, SUB = F::sub_block(SET, FIRST + I);
        if constexpr (PREFETCHES<T, R>) {
          constexpr int64_t DONE = (SET * F::TOGETHER + FIRST) * F::SUB_GROUPS + STEP; // of 64
          prefetch(block.w[0] + PREFETCH_AHEAD<T> + DONE * F::BLOCK_BYTES / 64);
        }
        UNROLL for (int r = 0; r < R; ++r) {
          const Codes codes = F::template codes<SUB, G>(block.w[r], block.lane[r]);
          UNROLL for (int t = 0; t < T; ++t) sums[I][t][r].template add<G, T * R == 1>(
              codes, block.x + t * block.x_stride + (SUB * F::SUB_GROUPS + G) * 4);
        }
        add_groups<SET, FIRST, STEP + 1>(sums, block);
      }
    }

    // Sub-block I of those side by side and the rest of them.
    template <int SET, int FIRST, int I>
    static FORCE_INLINE void start_sums(Sums (&sums)[SIDE_BY_SIDE], const Block& block) {
      if constexpr (I < SIDE_BY_SIDE) {
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) sums[I][t][r].clear(
            block.sums16.start_of(t, F::sub_block(SET, FIRST + I)));
        start_sums<SET, FIRST, I + 1>(sums, block);
      }
    }
    template <int SET, int FIRST, int I>
    static FORCE_INLINE void add_scaled(I32xL (&total)[T][R], const Sums (&sums)[SIDE_BY_SIDE], const Block& block) {
      if constexpr (I < SIDE_BY_SIDE) {
        constexpr int SUB = F::sub_block(SET, FIRST + I);
        UNROLL for (int r = 0; r < R; ++r) {
          const Scale scale = F::sub_scale(block.w[r] + F::SCALES + SUB * 16 + block.lane[r]);
          UNROLL for (int t = 0; t < T; ++t) total[t][r] = sums[I][t][r].scaled(scale, total[t][r]);
        }
        add_scaled<SET, FIRST, I + 1>(total, sums, block);
      }
    }

    template <int SET, int FIRST>
    static FORCE_INLINE void add_sub_blocks(I32xL (&total)[T][R], const Block& block) {
      if constexpr (FIRST < F::TOGETHER) {
        Sums sums[SIDE_BY_SIDE];
        start_sums<SET, FIRST, 0>(sums, block);
        add_groups<SET, FIRST, 0>(sums, block);
        add_scaled<SET, FIRST, 0>(total, sums, block);
        add_sub_blocks<SET, FIRST + SIDE_BY_SIDE>(total, block);
      } else if constexpr ((SET + 1) * F::TOGETHER < F::SUB_BLOCKS) {
        add_sub_blocks<SET + 1, 0>(total, block);
      }
    }

    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      Block block;
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        block.w[r] = c.panel;
        block.lane[r] = c.lane;
      }
      block.x = a.in.codes + token * a.in.codes_stride;
      block.x_stride = a.in.codes_stride;
      const float* x_scale = a.in.scale + token * a.in.scale_stride;

      F32xL acc[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] = zeroL();

      for (int64_t b = 0; b < a.k / 256; ++b) {
        block.sums16.set(a.in, b, token);
        if constexpr (T == 1) { // scales are wanted after lines that stand behind them: memory is asked in its order
          constexpr int64_t CODES = F::SCALES + F::SUB_BLOCKS * (F::HAS_MIN ? 32 : 16);
          UNROLL for (int64_t at = 0; at < CODES; at += layout::LINE) prefetch(block.w[0] + at);
        }
        I32xL total[T][R];
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) total[t][r] = zeroI();
        add_sub_blocks<0, 0>(total, block);
        UNROLL for (int r = 0; r < R; ++r) {
          const uint8_t* w = block.w[r];
          const int64_t lane = block.lane[r];
          const F32xL d = F::scale(w, lane);
          UNROLL for (int t = 0; t < T; ++t) acc[t][r] =
              fmaL(mulL(d, allL(x_scale[t * a.in.scale_stride])), to_floatL(total[t][r]), acc[t][r]);
          if constexpr (F::HAS_MIN) {
            const F32xL dmin = loadL_f16((const uint16_t*)(w + F::MIN_SCALE) + lane);
            I32xL minima[T];
            UNROLL for (int t = 0; t < T; ++t) minima[t] = zeroI();
            UNROLL for (int p = 0; p < F::SUB_BLOCKS / 2; ++p) {
              const Pairs mins = load_pairs_u8(w + F::MINS + p * 32 + lane * 2);
              UNROLL for (int t = 0; t < T; ++t) minima[t] =
                  add_pair_products(minima[t], mins, block.sums16.pair(t, p));
            }
            UNROLL for (int t = 0; t < T; ++t) acc[t][r] =
                fnmaL(mulL(dmin, allL(x_scale[t * a.in.scale_stride])), to_floatL(minima[t]), acc[t][r]);
          }
        }
        UNROLL for (int r = 0; r < R; ++r) block.w[r] += F::BLOCK_BYTES;
        block.x += 256;
        ++x_scale;
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[t][r]);
    }
  };

  static void matmul(const MatmulArgs& a) {
    if (a.token_end - a.token_begin <= STREAM) {
      run_tiles<Tile, ONE_COLUMNS, STREAM, 1, STREAM, 1>(a);
      return;
    }
    const int64_t end = a.panel_end * (PANEL_ROWS / LANES);
    int64_t c = a.panel_begin * (PANEL_ROWS / LANES);
    // One tile and one column, so that lines are fetched all the time.
    if constexpr (FEW_TOKENS > K_TOKENS && FEW_TOKENS > STREAM) {
      if (a.token_end - a.token_begin <= FEW_TOKENS) {
        for (; c < end; ++c) ExpandedQ256<F, 1, FEW_TOKENS>::run(a, c, 1);
        return;
      }
    }
    if constexpr (MADDUBS && F::BITS == 8) {
      if (a.token_end - a.token_begin >= APART_FROM) return many<true>(a, c, end);
    }
    many<false>(a, c, end);
  }

  static void unpack_row(const uint8_t* panel, int64_t lane, int64_t k, float* out) {
    for (int64_t b = 0; b < k / 256; ++b) unpack_sub_block<0>(panel + b * F::BLOCK_BYTES, lane, out + b * 256);
  }

 private:
  static constexpr int64_t APART_FROM = 12; // tokens that are worth the time to set signs apart

  template <bool APART>
  static void many(const MatmulArgs& a, int64_t c, int64_t end) {
    constexpr int MANY = MANY_COLUMNS > PANEL_ROWS / LANES ? MANY_COLUMNS : PANEL_ROWS / LANES;
    for (int turns; c + MANY <= end; c += turns * MANY) {
      turns = (end - c) / MANY < PANELS_IN_TURN ? (int)((end - c) / MANY) : PANELS_IN_TURN;
      ExpandedQ256<F, MANY, K_TOKENS, APART>::run(a, c, turns);
    }
    for (; c < end; ++c) ExpandedQ256<F, 1, K_TOKENS, APART>::run(a, c, 1);
  }

  template <int SUB>
  static inline void unpack_sub_block(const uint8_t* block, int64_t lane, float* out) {
    if constexpr (SUB < F::SUB_BLOCKS) {
      const uint8_t byte = block[F::SCALES + SUB * 16 + lane];
      const float scale = float_of_row(F::scale(block, lane / LANES * LANES), lane);
      const float d = scale * (F::HAS_MIN ? (float)byte : (float)(int8_t)byte);
      float m = 0.0f;
      if constexpr (F::HAS_MIN)
        m = f16_of_row(block + F::MIN_SCALE, lane) * (float)block[F::MINS + SUB / 2 * 32 + lane * 2 + SUB % 2];
      unpack_groups<SUB, 0>(block, lane, d, m, out);
      unpack_sub_block<SUB + 1>(block, lane, out);
    }
  }

  template <int SUB, int G>
  static inline void unpack_groups(const uint8_t* block, int64_t lane, float d, float m, float* out) {
    if constexpr (G < F::SUB_GROUPS) {
      uint8_t four[4];
      row_of_codes(F::template codes<SUB, G>(block, lane / LANES * LANES), lane, four);
      for (int i = 0; i < 4; ++i) {
        const float scaled = d * (float)((int)four[i] - F::ZERO);
        out[(SUB * F::SUB_GROUPS + G) * 4 + i] = F::HAS_MIN ? scaled - m : scaled;
      }
      unpack_groups<SUB, G + 1>(block, lane, d, m, out);
    }
  }
};
