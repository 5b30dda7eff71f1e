// Weights in blocks of 256 times many tokens; matmul_q256.inl has the order of operations.

// What a block's sums of activations, one per 16, are wanted for.
template <class F, int T>
struct Sums16 {
  static constexpr bool STARTS = F::ZERO != 0 && !(MADDUBS && F::BITS == 8);
  int32_t start[T][F::SUB_BLOCKS]; // of a sub-block's sum
  int16_t pairs[T][F::SUB_BLOCKS]; // sums of activations of sub-blocks, at most 4,064

  // Of block b of n tokens from `token` on.
  FORCE_INLINE void set(const Activations& in, int64_t b, int64_t token, int n = T) {
    using Sum = BlockSum<F::BITS, F::ZERO>;
    UNROLL for (int t = 0; t < n; ++t) {
      const int32_t* const sum16 = in.sum + (token + t) * in.sum_stride + b * 16;
      if constexpr (STARTS && MADDUBS)
        Sum::template starts<F::SUB_BLOCKS>(in.codes + (token + t) * in.codes_stride + b * 256, start[t]);
      for (int sub = 0; sub < F::SUB_BLOCKS; ++sub) {
        const int32_t sum = F::SUB_BLOCKS == 16 ? sum16[sub] : sum16[2 * sub] + sum16[2 * sub + 1];
        if constexpr (STARTS && !MADDUBS) start[t][sub] = Sum::start_of(sum);
        if constexpr (F::HAS_MIN) pairs[t][sub] = (int16_t)sum;
      }
    }
  }
  int32_t start_of(int t, int sub) const { return STARTS ? start[t][sub] : 0; }
  int32_t pair(int t, int p) const {
    int32_t two;
    memcpy(&two, pairs[t] + 2 * p, 4);
    return two;
  }
};

// Many tokens against R columns: a block is expanded once for all of them, their results so far wait in memory. MOST of
// them make a tile; where that is more than K_TOKENS, there is one. Up to PANELS_IN_TURN times R columns take a block
// in turn, so that its activations stay in the first cache.
template <class F, int R, int MOST = K_TOKENS, bool APART = false>
struct ExpandedQ256 {
  using Sum = BlockSum<F::BITS, F::ZERO>;
  using Wait = Waiting<Sum, APART>;
  using Group = typename Wait::Group;
  static constexpr int TOKENS = 48; // at most, so that everything stays in the first cache
  static constexpr int TILE_R = R < MANY_COLUMNS ? R : MANY_COLUMNS;

  alignas(64) uint8_t codes[R][64][sizeof(Group)];
  Scale scales[R][F::SUB_BLOCKS];
  Pairs mins[R][F::SUB_BLOCKS / 2];
  F32xL d[R], dmin[R];
  F32xL acc[PANELS_IN_TURN][TOKENS][R];
  Sums16<F, TOKENS> sums16;
  const uint8_t* next[R];
  I32xL owed[R][APART ? F::SUB_BLOCKS : 1];

  template <int STEP>
  FORCE_INLINE void expand_groups(int r, const uint8_t* block, int64_t lane) {
    if constexpr (STEP < 64) { // in the order of their lines
      constexpr int PER_SET = F::TOGETHER * F::SUB_GROUPS, SET = STEP / PER_SET;
      constexpr int G = STEP % PER_SET / F::TOGETHER, SUB = F::sub_block(SET, STEP % F::TOGETHER);
      Wait::store(codes[r][SUB * F::SUB_GROUPS + G], F::template codes<SUB, G>(block, lane));
      expand_groups<STEP + 1>(r, block, lane);
    }
  }

  void expand(int r, const uint8_t* block, int64_t lane) {
    d[r] = F::scale(block, lane);
    for (int sub = 0; sub < F::SUB_BLOCKS; ++sub) scales[r][sub] = F::sub_scale(block + F::SCALES + sub * 16 + lane);
    expand_groups<0>(r, block, lane);
    if constexpr (APART)
      for (int sub = 0; sub < F::SUB_BLOCKS; ++sub)
        owed[r][sub] = Wait::template owed<F::SUB_GROUPS>(codes[r][sub * F::SUB_GROUPS]);
    if constexpr (F::HAS_MIN) {
      dmin[r] = loadL_f16((const uint16_t*)(block + F::MIN_SCALE) + lane);
      for (int p = 0; p < F::SUB_BLOCKS / 2; ++p) mins[r][p] = load_pairs_u8(block + F::MINS + p * 32 + lane * 2);
    }
  }

  // AHEAD: a line of each column's next block is fetched with every group, as slowly as they will be wanted.
  template <int T, bool AHEAD, int G>
  FORCE_INLINE void add_groups(Sum (&sums)[T][TILE_R], int sub, int first, const int8_t* x, int64_t stride) const {
    if constexpr (G < F::SUB_GROUPS) {
      if constexpr (AHEAD)
        UNROLL for (int r = 0; r < TILE_R; ++r) prefetch(next[first + r] + (sub * F::SUB_GROUPS + G) * layout::LINE);
      Group c[TILE_R];
      UNROLL for (int r = 0; r < TILE_R; ++r) c[r] = Wait::load(codes[first + r][sub * F::SUB_GROUPS + G]);
      add_group<G>(sums, c, x + G * 4, stride);
      add_groups<T, AHEAD, G + 1>(sums, sub, first, x, stride);
    }
  }

  // Block b of T tokens from `token` on against TILE_R columns from `first` on.
  template <int T, bool AHEAD>
  void add_block(const MatmulArgs& a, int64_t b, int64_t token, int from, int first, F32xL (*so_far)[R]) const {
    const int8_t* x = a.in.codes + token * a.in.codes_stride + b * 256;
    const float* x_scale = a.in.scale + token * a.in.scale_stride + b;
    I32xL total[T][TILE_R];
    UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < TILE_R; ++r) total[t][r] = zeroI();
    for (int sub = 0; sub < F::SUB_BLOCKS; ++sub, x += F::SUB_GROUPS * 4) {
      Sum sums[T][TILE_R];
      UNROLL for (int t = 0; t < T; ++t) UNROLL for (int r = 0; r < TILE_R; ++r) {
        if constexpr (APART)
          sums[t][r].start_at(owed[first + r][sub]);
        else
          sums[t][r].clear(sums16.start_of(from + t, sub));
      }
      add_groups<T, AHEAD, 0>(sums, sub, first, x, a.in.codes_stride);
      UNROLL for (int r = 0; r < TILE_R; ++r) {
        const Scale scale = scales[first + r][sub];
        UNROLL for (int t = 0; t < T; ++t) total[t][r] = sums[t][r].scaled(scale, total[t][r]);
      }
    }
    UNROLL for (int t = 0; t < T; ++t) {
      const F32xL s = allL(x_scale[t * a.in.scale_stride]);
      UNROLL for (int r = 0; r < TILE_R; ++r) {
        F32xL sum = fmaL(mulL(d[first + r], s), to_floatL(total[t][r]), so_far[t][first + r]);
        if constexpr (F::HAS_MIN) {
          I32xL minima = zeroI();
          UNROLL for (int p = 0; p < F::SUB_BLOCKS / 2; ++p) minima =
              add_pair_products(minima, mins[first + r][p], sums16.pair(from + t, p));
          sum = fnmaL(mulL(dmin[first + r], s), to_floatL(minima), sum);
        }
        so_far[t][first + r] = sum;
      }
    }
  }

  // Tokens [from, from + n) of those in hand, which begin at `token`.
  template <int T, bool AHEAD>
  void add_tokens(int n, const MatmulArgs& a, int64_t b, int64_t token, int from, F32xL (*so_far)[R]) const {
    if (n == T) {
      for (int first = 0; first < R; first += TILE_R)
        add_block<T, AHEAD>(a, b, token + from, from, first, so_far + from);
    } else if constexpr (T > 1) {
      add_tokens<T - 1, AHEAD>(n, a, b, token, from, so_far);
    }
  }

  // `turns` times R columns from `first_column` on.
  static void run(const MatmulArgs& a, int64_t first_column, int turns) {
    ExpandedQ256 e;
    const int64_t blocks = a.k / 256;
    for (int64_t token = a.token_begin; token < a.token_end; token += TOKENS) {
      const int n = (int)(a.token_end - token < TOKENS ? a.token_end - token : TOKENS);
      const int tiles = (n + MOST - 1) / MOST; // of almost the same size
      for (int i = 0; i < turns; ++i)
        for (int t = 0; t < n; ++t) UNROLL for (int r = 0; r < R; ++r) e.acc[i][t][r] = zeroL();
      for (int64_t b = 0; b < blocks; ++b) {
        e.sums16.set(a.in, b, token, n);
        for (int i = 0; i < turns; ++i) {
          const int64_t columns = first_column + i * R;
          for (int r = 0; r < R; ++r) {
            const Column c = column(a, columns + r), then = column(a, columns + turns * R + r);
            e.next[r] = b + 1 < blocks ? c.panel + (b + 1) * F::BLOCK_BYTES : then.panel;
            e.expand(r, c.panel + b * F::BLOCK_BYTES, c.lane);
          }
          e.template add_tokens<MOST, true>(n / tiles, a, b, token, 0, e.acc[i]);
          if constexpr (MOST == K_TOKENS) {
            for (int tile = 1; tile < tiles; ++tile) {
              const int from = n * tile / tiles, to = n * (tile + 1) / tiles;
              e.template add_tokens<MOST, false>(to - from, a, b, token, from, e.acc[i]);
            }
          }
        }
      }
      for (int i = 0; i < turns; ++i)
        for (int t = 0; t < n; ++t)
          UNROLL for (int r = 0; r < R; ++r) store_column(a, first_column + i * R + r, token + t, e.acc[i][t][r]);
    }
  }
};
