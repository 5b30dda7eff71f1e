// Weights in blocks of 32 times int8 activations in blocks of 32. Per output element, from acc = +0, blocks ascending:
//   isum = sum of (code - zero) * activation           exact int32
//   acc  = fma(scale * activation scale, float(isum), acc)
//   acc  = fma(minimum, activation scale * sum of activations, acc)   types with a minimum
// Types with a scale for each half of a block do so for the one and the other half.

template <class F>
struct TilesQ32 {
  static constexpr int64_t CHUNK_BLOCKS = F::CHUNK_BLOCKS;
  static constexpr int PARTS = F::SCALES; // of a block, each with a sum of its own
  static_assert(PARTS == 1 || (PARTS == 2 && !F::HAS_MIN), "a scale a block or two");

  template <int T, int R>
  struct Tile {
    using Sums = BlockSum<F::BITS, F::ZERO>[PARTS][T][R];

    template <int STEP>
    static FORCE_INLINE void add(Sums& sums, const uint8_t* const (&q)[R], const int8_t* x, int64_t stride) {
      constexpr int G = F::group(STEP);
      if constexpr (PREFETCHES<T, R> && STEP * layout::LINE <= F::CODE_BYTES)
        prefetch(q[0] + PREFETCH_AHEAD<T> + STEP * layout::LINE);
      UNROLL for (int r = 0; r < R; ++r) {
        const Codes codes = F::template codes<G>(q[r]);
        UNROLL for (int t = 0; t < T; ++t) sums[G * PARTS / 8][t][r].template add<STEP, T * R == 1>(
            codes, x + t * stride + G * 4);
      }
    }

    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      const uint8_t* chunk[R];
      int64_t lane[R];
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        chunk[r] = c.panel;
        lane[r] = c.lane;
      }
      const int8_t* x = a.in.codes + token * a.in.codes_stride;
      const float* x_scale = a.in.scale + token * a.in.scale_stride;
      const float* x_scaled_sum = a.in.scaled_sum + token * a.in.scale_stride;
      const int32_t* x_sum = a.in.sum + token * a.in.sum_stride;

      F32xL acc[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] = zeroL();

      const int64_t blocks = a.k / 32;
      for (int64_t first = 0; first < blocks; first += CHUNK_BLOCKS) {
        const int64_t n = blocks - first < CHUNK_BLOCKS ? blocks - first : CHUNK_BLOCKS;
        for (int64_t b = 0; b < n; ++b) {
          const uint8_t* q[R];
          UNROLL for (int r = 0; r < R; ++r) q[r] = chunk[r] + layout::LINE + b * F::CODE_BYTES + lane[r] * 4;
          Sums sums;
          int32_t halves[T][2]; // sums of activations, where a block has two parts
          UNROLL for (int t = 0; t < T; ++t) {
            const int32_t* of_block = x_sum + t * a.in.sum_stride;
            if constexpr (PARTS == 2) {
              halves[t][0] = sum_of_16(x + t * a.in.codes_stride);
              halves[t][1] = *of_block - halves[t][0];
            }
            UNROLL for (int r = 0; r < R; ++r) UNROLL for (int p = 0; p < PARTS; ++p) sums[p][t][r].clear_at(
                PARTS == 2 ? &halves[t][p] : of_block);
          }
          add<0>(sums, q, x, a.in.codes_stride);
          add<1>(sums, q, x, a.in.codes_stride);
          add<2>(sums, q, x, a.in.codes_stride);
          add<3>(sums, q, x, a.in.codes_stride);
          add<4>(sums, q, x, a.in.codes_stride);
          add<5>(sums, q, x, a.in.codes_stride);
          add<6>(sums, q, x, a.in.codes_stride);
          add<7>(sums, q, x, a.in.codes_stride);
          UNROLL for (int r = 0; r < R; ++r) {
            UNROLL for (int p = 0; p < PARTS; ++p) {
              const F32xL d = F::scale(chunk[r], b * PARTS + p, lane[r]);
              UNROLL for (int t = 0; t < T; ++t) acc[t][r] =
                  fmaL(mulL(d, allL(x_scale[t * a.in.scale_stride])), to_floatL(sums[p][t][r].value()), acc[t][r]);
            }
            if constexpr (F::HAS_MIN) {
              const F32xL m = loadL_f16((const uint16_t*)(chunk[r] + 32) + lane[r]);
              UNROLL for (int t = 0; t < T; ++t) acc[t][r] =
                  fmaL(m, allL(x_scaled_sum[t * a.in.scale_stride]), acc[t][r]);
            }
          }
          x += 32;
          ++x_scale;
          ++x_scaled_sum;
          ++x_sum;
        }
        UNROLL for (int r = 0; r < R; ++r) chunk[r] += layout::LINE + n * F::CODE_BYTES;
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[t][r]);
    }
  };

  static void matmul(const MatmulArgs& a) {
    constexpr bool EXPANDED = PANELS_IN_TURN > 1; // then no tile is of many tokens
    if constexpr (EXPANDED) {
      if (a.token_end - a.token_begin > FEW_TOKENS) {
        for (int64_t p = a.panel_begin; p < a.panel_end; p += PANELS_IN_TURN)
          ExpandedQ32<F>::run(a, p, p + PANELS_IN_TURN < a.panel_end ? p + PANELS_IN_TURN : a.panel_end);
        return;
      }
    }
    run_tiles<Tile, ONE_COLUMNS, FEW_TOKENS, 1, EXPANDED ? FEW_TOKENS : MANY_TOKENS, EXPANDED ? 1 : MANY_COLUMNS>(a);
  }

  static void unpack_row(const uint8_t* panel, int64_t lane, int64_t k, float* out) {
    const int64_t blocks = k / 32, column_lane = lane / LANES * LANES;
    for (int64_t first = 0; first < blocks; first += CHUNK_BLOCKS) {
      const int64_t n = blocks - first < CHUNK_BLOCKS ? blocks - first : CHUNK_BLOCKS;
      const uint8_t* codes = panel + layout::LINE;
      for (int64_t b = 0; b < n; ++b, out += 32) {
        const float d = float_of_row(F::scale(panel, b * PARTS, column_lane), lane);
        const float d2 = PARTS == 2 ? float_of_row(F::scale(panel, b * PARTS + 1, column_lane), lane) : d;
        const float m = F::HAS_MIN ? f16_of_row(panel + 32, lane) : 0.0f;
        const uint8_t* q = codes + b * F::CODE_BYTES + column_lane * 4;
        unpack_group<0>(q, lane, d, m, out);
        unpack_group<1>(q, lane, d, m, out);
        unpack_group<2>(q, lane, d, m, out);
        unpack_group<3>(q, lane, d, m, out);
        unpack_group<4>(q, lane, d2, m, out);
        unpack_group<5>(q, lane, d2, m, out);
        unpack_group<6>(q, lane, d2, m, out);
        unpack_group<7>(q, lane, d2, m, out);
      }
      panel = codes + n * F::CODE_BYTES;
    }
  }

 private:
  static inline int32_t sum_of_16(const int8_t* x) {
    int32_t sum = 0;
    for (int i = 0; i < 16; ++i) sum += x[i];
    return sum;
  }

  template <int G>
  static inline void unpack_group(const uint8_t* q, int64_t lane, float d, float m, float* out) {
    uint8_t four[4];
    row_of_codes(F::template codes<G>(q), lane, four);
    for (int i = 0; i < 4; ++i) {
      const float scaled = d * (float)((int)four[i] - F::ZERO);
      out[G * 4 + i] = F::HAS_MIN ? scaled + m : scaled;
    }
  }
};
