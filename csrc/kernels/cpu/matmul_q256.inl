// Weights in blocks of 256 with integer sub-scales times int8 activations in blocks of 256. Per output element, from
// acc = +0, blocks ascending:
//   I = sum over sub-blocks of sub_scale * sum of (code - zero) * activation     exact int32
//   J = sum over sub-blocks of sub_min * sum of activations                      exact int32
//   acc = fma(scale * activation scale, float(I), acc)
//   acc = fma(-(min_scale * activation scale), float(J), acc)                    types with a minimum

template <class F>
struct TilesQ256 {
  template <int T, int R>
  struct Tile {
    using Sums = BlockSum<F::BITS, F::ZERO>[T][R];

    template <int SUB, int G>
    static FORCE_INLINE void add(Sums& sums, const uint8_t* const (&block)[R], const int64_t (&lane)[R],
                                 const int8_t* x, int64_t stride) {
      UNROLL for (int r = 0; r < R; ++r) {
        const Codes codes = F::template codes<SUB, G>(block[r], lane[r]);
        UNROLL for (int t = 0; t < T; ++t) sums[t][r].template add<G>(codes,
                                                                      x + t * stride + (SUB * F::SUB_GROUPS + G) * 4);
      }
    }

    // sum of the activations of sub-block SUB
    static FORCE_INLINE int32_t sum_of(const int32_t* sum16, int sub) {
      return F::SUB_GROUPS == 8 ? sum16[2 * sub] + sum16[2 * sub + 1] : sum16[sub];
    }

    template <int SUB>
    static FORCE_INLINE void add_sub_block(I32xL (&total)[T][R], const uint8_t* const (&block)[R],
                                           const int64_t (&lane)[R], const int8_t* x, int64_t stride,
                                           const int32_t* x_sum, int64_t sum_stride) {
      if constexpr (SUB < F::SUB_BLOCKS) {
        Sums sums;
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) sums[t][r].clear(
            F::ZERO ? sum_of(x_sum + t * sum_stride, SUB) : 0);
        add<SUB, 0>(sums, block, lane, x, stride);
        add<SUB, 1>(sums, block, lane, x, stride);
        add<SUB, 2>(sums, block, lane, x, stride);
        add<SUB, 3>(sums, block, lane, x, stride);
        if constexpr (F::SUB_GROUPS == 8) {
          add<SUB, 4>(sums, block, lane, x, stride);
          add<SUB, 5>(sums, block, lane, x, stride);
          add<SUB, 6>(sums, block, lane, x, stride);
          add<SUB, 7>(sums, block, lane, x, stride);
        }
        UNROLL for (int r = 0; r < R; ++r) {
          const I32xL scale = F::sub_scale(block[r] + F::SCALES + SUB * 16 + lane[r]);
          UNROLL for (int t = 0; t < T; ++t) total[t][r] = addI(total[t][r], mulI(sums[t][r].value(), scale));
        }
        add_sub_block<SUB + 1>(total, block, lane, x, stride, x_sum, sum_stride);
      }
    }

    static FORCE_INLINE void run(const MatmulArgs& a, int64_t first_column, int64_t token) {
      const uint8_t* block[R];
      int64_t lane[R];
      UNROLL for (int r = 0; r < R; ++r) {
        const Column c = column(a, first_column + r);
        block[r] = c.panel;
        lane[r] = c.lane;
      }
      const int8_t* x = a.in.codes + token * a.in.codes_stride;
      const float* x_scale = a.in.scale + token * a.in.scale_stride;
      const int32_t* x_sum = a.in.sum + token * a.in.sum_stride;

      F32xL acc[T][R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) acc[t][r] = zeroL();

      for (int64_t b = 0; b < a.k / 256; ++b) {
        if constexpr (T == 1 && F::BITS == 6) // the other types are faster with the hardware's prefetching alone
          for (int64_t line = 0; line < F::BLOCK_BYTES; line += layout::LINE)
            prefetch(block[0] + PREFETCH_AHEAD + line);
        I32xL total[T][R];
        UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r) total[t][r] = zeroI();
        add_sub_block<0>(total, block, lane, x, a.in.codes_stride, x_sum, a.in.sum_stride);
        UNROLL for (int r = 0; r < R; ++r) {
          const F32xL d = loadL_f16((const uint16_t*)(block[r] + F::SCALE + lane[r] * 2));
          UNROLL for (int t = 0; t < T; ++t) acc[t][r] =
              fmaL(mulL(d, allL(x_scale[t * a.in.scale_stride])), to_floatL(total[t][r]), acc[t][r]);
          if constexpr (F::HAS_MIN) {
            const F32xL dmin = loadL_f16((const uint16_t*)(block[r] + layout::Q45_K_MIN_SCALE + lane[r] * 2));
            UNROLL for (int t = 0; t < T; ++t) {
              I32xL minima = zeroI();
              UNROLL for (int sub = 0; sub < 8; ++sub) minima =
                  addI(minima, mulI_u8_i16(loadI_u8(block[r] + layout::Q45_K_MINS + sub * 16 + lane[r]),
                                           allI(sum_of(x_sum + t * a.in.sum_stride, sub))));
              acc[t][r] = fnmaL(mulL(dmin, allL(x_scale[t * a.in.scale_stride])), to_floatL(minima), acc[t][r]);
            }
          }
        }
        UNROLL for (int r = 0; r < R; ++r) block[r] += F::BLOCK_BYTES;
        x += 256;
        ++x_scale;
        x_sum += 16;
      }
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < R; ++r)
          store_column(a, first_column + r, token + t, acc[t][r]);
    }
  };

  static void matmul(const MatmulArgs& a) { run_tiles<Tile, ONE_COLUMNS, FEW_TOKENS, 1, FEW_TOKENS, 1>(a); }

  static void unpack_row(const uint8_t* panel, int64_t lane, int64_t k, float* out) {
    for (int64_t b = 0; b < k / 256; ++b) unpack_sub_block<0>(panel + b * F::BLOCK_BYTES, lane, out + b * 256);
  }

 private:
  template <int SUB>
  static inline void unpack_sub_block(const uint8_t* block, int64_t lane, float* out) {
    if constexpr (SUB < F::SUB_BLOCKS) {
      const uint8_t byte = block[F::SCALES + SUB * 16 + lane];
      const float d = f16_of_row(block + F::SCALE, lane) * (F::HAS_MIN ? (float)byte : (float)(int8_t)byte);
      float m = 0.0f;
      if constexpr (F::HAS_MIN)
        m = f16_of_row(block + layout::Q45_K_MIN_SCALE, lane) * (float)block[layout::Q45_K_MINS + SUB * 16 + lane];
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
