// Weights in blocks of 32 times many tokens; matmul_q32.inl has the order of operations.

// A panel is a tile's columns. A run of blocks is expanded once for up to TOKENS tokens, K_TOKENS of them a tile; their
// results so far wait in memory. PANELS_IN_TURN panels take that run in turn, so that its activations stay in the first
// cache.
template <class F>
struct ExpandedQ32 {
  using Sum = BlockSum<F::BITS, F::ZERO>;
  static constexpr bool APART = MADDUBS && F::BITS == 8;
  using Wait = Waiting<Sum, APART>;
  using Group = typename Wait::Group;
  static constexpr int TOKENS = 48, RUN = 8, PARTS = F::SCALES, T = K_TOKENS, R = PANEL_ROWS / LANES;

  alignas(64) uint8_t codes[R][RUN * 8][sizeof(Group)];
  F32xL scales[R][RUN * PARTS], minima[R][RUN];
  F32xL acc[PANELS_IN_TURN][TOKENS][R];
  int32_t halves[TOKENS][RUN][2]; // sums of activations, where a block has two parts
  const uint8_t* next[R];         // codes that come after these
  I32xL owed[R][APART ? RUN : 1];

  static const uint8_t* chunk(const Column& c, int64_t block) {
    return c.panel + block / F::CHUNK_BLOCKS * (layout::LINE + F::CHUNK_BLOCKS * F::CODE_BYTES);
  }

  template <int G>
  FORCE_INLINE void expand_groups(uint8_t (*to)[sizeof(Group)], const uint8_t* q) {
    if constexpr (G < 8) {
      Wait::store(to[F::group(G)], F::template codes<F::group(G)>(q));
      expand_groups<G + 1>(to, q);
    }
  }

  void expand(int r, const Column& c, int64_t first, int n) {
    for (int i = 0; i < n; ++i) {
      const uint8_t* line = chunk(c, first + i);
      const int64_t b = (first + i) % F::CHUNK_BLOCKS;
      for (int p = 0; p < PARTS; ++p) scales[r][i * PARTS + p] = F::scale(line, b * PARTS + p, c.lane);
      if constexpr (F::HAS_MIN) minima[r][i] = loadL_f16((const uint16_t*)(line + 32) + c.lane);
      expand_groups<0>(codes[r] + i * 8, line + layout::LINE + b * F::CODE_BYTES + c.lane * 4);
      if constexpr (APART) owed[r][i] = Wait::template owed<8>(codes[r][i * 8]);
    }
    next[r] = chunk(c, first + n) + c.lane * 4;
  }

  template <int N, bool AHEAD, int G>
  FORCE_INLINE void add_groups(Sum (&sums)[PARTS][N][R], int i, const int8_t* x, int64_t stride) const {
    if constexpr (G < 8) {
      if constexpr (AHEAD && G * layout::LINE < F::CODE_BYTES + layout::LINE)
        UNROLL for (int r = 0; r < R; ++r) prefetch(next[r] + i * (F::CODE_BYTES + layout::LINE) + G * layout::LINE);
      Group c[R];
      UNROLL for (int r = 0; r < R; ++r) c[r] = Wait::load(codes[r][i * 8 + G]);
      add_group<G>(sums[G * PARTS / 8], c, x + G * 4, stride);
      add_groups<N, AHEAD, G + 1>(sums, i, x, stride);
    }
  }

  // Blocks [first, first + n) of N tokens from `token` on.
  template <int N, bool AHEAD>
  void add_tile(const MatmulArgs& a, int64_t first, int n, int64_t token, const int32_t (*half)[RUN][2],
                F32xL (*so_far)[R]) const {
    const int8_t* x = a.in.codes + token * a.in.codes_stride + first * 32;
    const int64_t at = token * a.in.scale_stride + first;
    const float *x_scale = a.in.scale + at, *x_scaled_sum = a.in.scaled_sum + at;
    const int32_t* x_sum = a.in.sum + token * a.in.sum_stride + first;
    F32xL sum[N][R];
    UNROLL for (int t = 0; t < N; ++t) UNROLL for (int r = 0; r < R; ++r) sum[t][r] = so_far[t][r];
    for (int i = 0; i < n; ++i, x += 32) {
      Sum sums[PARTS][N][R];
      UNROLL for (int p = 0; p < PARTS; ++p) UNROLL for (int t = 0; t < N; ++t) UNROLL for (int r = 0; r < R; ++r)
          sums[p][t][r]
              .clear_at(PARTS == 2 ? &half[t][i][p] : x_sum + t * a.in.sum_stride + i);
      if constexpr (APART)
        UNROLL for (int t = 0; t < N; ++t) UNROLL for (int r = 0; r < R; ++r) sums[0][t][r].start_at(owed[r][i]);
      add_groups<N, AHEAD, 0>(sums, i, x, a.in.codes_stride);
      UNROLL for (int t = 0; t < N; ++t) {
        const F32xL s = allL(x_scale[t * a.in.scale_stride + i]);
        UNROLL for (int r = 0; r < R; ++r) {
          UNROLL for (int p = 0; p < PARTS; ++p) sum[t][r] =
              fmaL(mulL(scales[r][i * PARTS + p], s), to_floatL(sums[p][t][r].value()), sum[t][r]);
          if constexpr (F::HAS_MIN)
            sum[t][r] = fmaL(minima[r][i], allL(x_scaled_sum[t * a.in.scale_stride + i]), sum[t][r]);
        }
      }
    }
    UNROLL for (int t = 0; t < N; ++t) UNROLL for (int r = 0; r < R; ++r) so_far[t][r] = sum[t][r];
  }

  template <int N, bool AHEAD>
  void add_tokens(int tokens, const MatmulArgs& a, int64_t first, int n, int64_t token, const int32_t (*half)[RUN][2],
                  F32xL (*so_far)[R]) const {
    if (tokens == N) {
      add_tile<N, AHEAD>(a, first, n, token, half, so_far);
    } else if constexpr (N > 1) {
      add_tokens<N - 1, AHEAD>(tokens, a, first, n, token, half, so_far);
    }
  }

  // Panels [begin, end), at most PANELS_IN_TURN.
  static void run(const MatmulArgs& a, int64_t begin, int64_t end) {
    ExpandedQ32 e;
    const int64_t blocks = a.k / 32, panels = end - begin;
    for (int64_t token = a.token_begin; token < a.token_end; token += TOKENS) {
      const int n = (int)(a.token_end - token < TOKENS ? a.token_end - token : TOKENS);
      const int tiles = (n + T - 1) / T; // of almost the same size
      for (int64_t p = 0; p < panels; ++p)
        for (int t = 0; t < n; ++t) UNROLL for (int r = 0; r < R; ++r) e.acc[p][t][r] = zeroL();
      for (int64_t first = 0; first < blocks; first += RUN) {
        const int run = (int)(blocks - first < RUN ? blocks - first : RUN);
        if constexpr (PARTS == 2) {
          for (int t = 0; t < n; ++t) e.halve(a, token + t, first, run, e.halves[t]);
        }
        for (int64_t p = 0; p < panels; ++p) {
          for (int r = 0; r < R; ++r) e.expand(r, column(a, (begin + p) * R + r), first, run);
          e.template add_tokens<T, true>(n / tiles, a, first, run, token, e.halves, e.acc[p]);
          for (int i = 1; i < tiles; ++i) {
            const int from = n * i / tiles, to = n * (i + 1) / tiles;
            e.template add_tokens<T, false>(to - from, a, first, run, token + from, e.halves + from, e.acc[p] + from);
          }
        }
      }
      for (int64_t p = 0; p < panels; ++p)
        for (int t = 0; t < n; ++t)
          UNROLL for (int r = 0; r < R; ++r) store_column(a, (begin + p) * R + r, token + t, e.acc[p][t][r]);
    }
  }

  static void halve(const MatmulArgs& a, int64_t token, int64_t first, int n, int32_t (*out)[2]) {
    const int8_t* x = a.in.codes + token * a.in.codes_stride + first * 32;
    for (int i = 0; i < n; ++i, x += 32) {
      int32_t sum = 0;
      for (int j = 0; j < 16; ++j) sum += x[j];
      out[i][0] = sum;
      out[i][1] = a.in.sum[token * a.in.sum_stride + first + i] - sum;
    }
  }
};
