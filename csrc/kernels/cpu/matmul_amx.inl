// Sixteen tokens and more by the tiles of AMX: types in blocks of 256, and bf16. Same operations on every element as
// matmul_q256.inl and matmul_bf16.inl.

constexpr int64_t TILE_TOKENS = 16;

// A code times its sub-scale is a signed upper byte and a lower one, so that a block of 256 is two integer sums of
// bytes, exact, and I = lower + 256 * upper. |code * sub-scale| is at most 128 * 128.
template <class F>
struct PlanesQ256 {
  static constexpr int TOKENS = 128; // at most, so that activations of a block stay in the first caches

  alignas(64) uint8_t lower[64][layout::LINE], upper[64][layout::LINE];
  Pairs mins[F::SUB_BLOCKS / 2];
  F32xL d, dmin;
  F32xL acc[TOKENS];
  alignas(64) int32_t sums[4][TILE_TOKENS][16]; // lower and upper of the first tile of tokens, of the second

  template <int STEP>
  FORCE_INLINE void expand_groups(const uint8_t* block) {
    if constexpr (STEP < 64) { // in the order of their lines
      constexpr int PER_SET = F::TOGETHER * F::SUB_GROUPS, SET = STEP / PER_SET;
      constexpr int G = STEP % PER_SET / F::TOGETHER, SUB = F::sub_block(SET, STEP % F::TOGETHER);
      const Codes codes = F::template codes<SUB, G>(block, 0);
      const __m512i one = F::sub_scale(block + F::SCALES + SUB * 16); // int32: its lower half twice
      const __m512i scale = _mm512_mask_mov_epi16(_mm512_slli_epi32(one, 16), 0x55555555, one);
      const __m512i zero = _mm512_set1_epi16(F::ZERO), byte = _mm512_set1_epi16(0xff);
      const __m512i even = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_and_si512(codes, byte), zero), scale);
      const __m512i odd = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_srli_epi16(codes, 8), zero), scale);
      store_codes(lower[SUB * F::SUB_GROUPS + G],
                  _mm512_or_si512(_mm512_and_si512(even, byte), _mm512_slli_epi16(odd, 8)));
      store_codes(upper[SUB * F::SUB_GROUPS + G],
                  _mm512_or_si512(_mm512_srli_epi16(even, 8), _mm512_andnot_si512(byte, odd)));
      expand_groups<STEP + 1>(block);
    }
  }

  void expand(const uint8_t* block) {
    d = F::scale(block, 0);
    expand_groups<0>(block);
    if constexpr (F::HAS_MIN) {
      dmin = loadL_f16((const uint16_t*)(block + F::MIN_SCALE));
      for (int p = 0; p < F::SUB_BLOCKS / 2; ++p) mins[p] = load_pairs_u8(block + F::MINS + p * 32);
    }
  }

  // Sums of the activations of two sub-blocks a word.
  static FORCE_INLINE void sums_of_pairs(const int32_t* sum16, int16_t* pairs) {
    const __m512i v = _mm512_loadu_si512(sum16);
    if constexpr (F::SUB_BLOCKS == 16) {
      _mm256_store_si256((__m256i*)pairs, _mm512_cvtepi32_epi16(v));
    } else {
      _mm_store_si128((__m128i*)pairs, _mm512_cvtepi64_epi16(_mm512_add_epi32(v, _mm512_srli_epi64(v, 32))));
    }
  }

  // Block b of one or two tiles of tokens.
  template <int TILES>
  void add_block(const MatmulArgs& a, int64_t b, int64_t token, F32xL* so_far) {
    const int64_t stride = a.in.codes_stride;
    const int8_t* x = a.in.codes + token * stride + b * 256;
    tile_zero<0>();
    tile_zero<1>();
    if constexpr (TILES > 1) {
      tile_zero<2>();
      tile_zero<3>();
    }
    UNROLL for (int part = 0; part < 4; ++part) {
      tile_load<4>(x + part * 64, stride);
      tile_load<6>(lower[part * 16], layout::LINE);
      tile_dot_unsigned<0, 4, 6>();
      tile_load<7>(upper[part * 16], layout::LINE);
      tile_dot_signed<1, 4, 7>();
      if constexpr (TILES > 1) {
        tile_load<5>(x + TILE_TOKENS * stride + part * 64, stride);
        tile_dot_unsigned<2, 5, 6>();
        tile_dot_signed<3, 5, 7>();
      }
    }
    tile_store<0>(sums[0], 64);
    tile_store<1>(sums[1], 64);
    if constexpr (TILES > 1) {
      tile_store<2>(sums[2], 64);
      tile_store<3>(sums[3], 64);
    }
    const float* x_scale = a.in.scale + token * a.in.scale_stride + b;
    const int32_t* sum16 = a.in.sum + token * a.in.sum_stride + b * 16;
    for (int t = 0; t < TILES * TILE_TOKENS; ++t) {
      const int32_t* low = sums[t / TILE_TOKENS * 2][t % TILE_TOKENS];
      const int32_t* high = sums[t / TILE_TOKENS * 2 + 1][t % TILE_TOKENS];
      const I32xL total = _mm512_add_epi32(_mm512_load_si512(low), _mm512_slli_epi32(_mm512_load_si512(high), 8));
      const F32xL s = allL(x_scale[t * a.in.scale_stride]);
      F32xL sum = fmaL(mulL(d, s), to_floatL(total), so_far[t]);
      if constexpr (F::HAS_MIN) {
        alignas(32) int16_t pairs[16];
        sums_of_pairs(sum16 + t * a.in.sum_stride, pairs);
        I32xL minima = zeroI();
        UNROLL for (int p = 0; p < F::SUB_BLOCKS / 2; ++p) {
          int32_t two;
          memcpy(&two, pairs + 2 * p, 4);
          minima = add_pair_products(minima, mins[p], two);
        }
        sum = fnmaL(mulL(dmin, s), to_floatL(minima), sum);
      }
      so_far[t] = sum;
    }
  }

  // Whole tiles of tokens.
  static void matmul(const MatmulArgs& a) {
    PlanesQ256 planes;
    start_tiles();
    for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel) {
      for (int64_t token = a.token_begin; token < a.token_end; token += TOKENS) {
        const int64_t n = a.token_end - token < TOKENS ? a.token_end - token : TOKENS;
        for (int64_t t = 0; t < n; ++t) planes.acc[t] = zeroL();
        for (int64_t b = 0; b < a.k / 256; ++b) {
          planes.expand(a.panels + panel * a.panel_bytes + b * F::BLOCK_BYTES);
          int64_t t = 0;
          for (; t + 2 * TILE_TOKENS <= n; t += 2 * TILE_TOKENS)
            planes.template add_block<2>(a, b, token + t, planes.acc + t);
          if (t < n) planes.template add_block<1>(a, b, token + t, planes.acc + t);
        }
        for (int64_t t = 0; t < n; ++t) store_column(a, panel, token + t, planes.acc[t]);
      }
    }
    end_tiles();
  }
};

// Results so far wait in the output: whole panels, whole tiles of tokens, and k a multiple of 32.
struct PanelsBf16 {
  static constexpr int64_t TILE_K = 32, TILE_BYTES = 1024;
  static constexpr int64_t CHUNK = 1024; // of k, of two panels: what the first caches hold
  alignas(64) uint8_t weights[2][CHUNK / TILE_K][TILE_BYTES];

  // Words of k above k + 2 and k + 1 above k + 3 to words of k + 1 above k and k + 3 above k + 2.
  void expand(int r, const uint8_t* lines, int64_t k) {
    for (uint8_t* to = weights[r][0]; k > 0; k -= 4, lines += 2 * layout::LINE, to += 2 * layout::LINE) {
      const __m512i first = load_codes(lines), second = load_codes(lines + layout::LINE);
      store_codes(to, _mm512_mask_mov_epi16(_mm512_srli_epi32(first, 16), 0xaaaaaaaa, second));
      store_codes(to + layout::LINE, _mm512_mask_mov_epi16(_mm512_slli_epi32(second, 16), 0x55555555, first));
    }
  }

  // R panels times T tiles of tokens.
  template <int T, int R>
  void add_chunk(const MatmulArgs& a, int64_t panel, int64_t token, int64_t k, int64_t n_k) const {
    float* const out = a.out + token * a.out_stride + panel * PANEL_ROWS;
    const int64_t out_bytes = a.out_stride * 4, x_bytes = a.in.x_stride * 4;
    float* const second = out + TILE_TOKENS * a.out_stride;
    if (k == 0) {
      tile_zero<0>();
      tile_zero<1>();
      tile_zero<2>();
      tile_zero<3>();
    } else {
      tile_load<0>(out, out_bytes);
      if constexpr (R > 1) tile_load<1>(out + PANEL_ROWS, out_bytes);
      if constexpr (T > 1) tile_load<2>(second, out_bytes);
      if constexpr (T > 1 && R > 1) tile_load<3>(second + PANEL_ROWS, out_bytes);
    }
    const char* x = (const char*)(a.in.x + token * a.in.x_stride + a.k / 2) + k * 2; // behind the words of avx512bf16
    for (int64_t i = 0; i < n_k / TILE_K; ++i, x += TILE_K * 2) {
      tile_load<4>(x, x_bytes);
      tile_load<6>(weights[0][i], layout::LINE);
      tile_dot_bf16<0, 4, 6>();
      if constexpr (R > 1) {
        tile_load<7>(weights[1][i], layout::LINE);
        tile_dot_bf16<1, 4, 7>();
      }
      if constexpr (T > 1) {
        tile_load<5>(x + TILE_TOKENS * x_bytes, x_bytes);
        tile_dot_bf16<2, 5, 6>();
        if constexpr (R > 1) tile_dot_bf16<3, 5, 7>();
      }
    }
    tile_store<0>(out, out_bytes);
    if constexpr (R > 1) tile_store<1>(out + PANEL_ROWS, out_bytes);
    if constexpr (T > 1) tile_store<2>(second, out_bytes);
    if constexpr (T > 1 && R > 1) tile_store<3>(second + PANEL_ROWS, out_bytes);
  }

  template <int R>
  void panels(const MatmulArgs& a, int64_t panel) {
    for (int64_t k = 0; k < a.k; k += CHUNK) {
      const int64_t n_k = a.k - k < CHUNK ? a.k - k : CHUNK;
      for (int r = 0; r < R; ++r) expand(r, a.panels + (panel + r) * a.panel_bytes + layout::bf16_element(k) - 2, n_k);
      int64_t token = a.token_begin;
      for (; token + 2 * TILE_TOKENS <= a.token_end; token += 2 * TILE_TOKENS) add_chunk<2, R>(a, panel, token, k, n_k);
      if (token < a.token_end) add_chunk<1, R>(a, panel, token, k, n_k);
    }
  }

  static void matmul(const MatmulArgs& a) {
    PanelsBf16 p;
    start_tiles();
    int64_t panel = a.panel_begin;
    for (; panel + 2 <= a.panel_end; panel += 2) p.panels<2>(a, panel);
    if (panel < a.panel_end) p.panels<1>(a, panel);
    end_tiles();
  }
};
