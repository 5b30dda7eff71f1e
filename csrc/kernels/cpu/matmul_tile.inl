// What the matmul kernels share. A column is LANES consecutive output rows: a register. A tile is T tokens times
// R columns; which tiles cover a piece of work is a matter of speed alone, since each element of the output has its
// own chain of operations along k.

struct Column {
  const uint8_t* panel;
  int64_t lane; // first row inside the panel
};

static inline Column column(const MatmulArgs& a, int64_t index) {
  const int64_t row = index * LANES;
  return {a.panels + row / PANEL_ROWS * a.panel_bytes, row % PANEL_ROWS};
}

// The rows of column `index` that the matrix has.
static inline void store_column(const MatmulArgs& a, int64_t index, int64_t token, F32xL value) {
  const int64_t row = index * LANES, left = a.n_rows - row;
  float* out = a.out + token * a.out_stride + row;
  if (left >= LANES) {
    storeL(out, value);
  } else if (left > 0) {
    float rows[LANES];
    storeL(rows, value);
    for (int64_t i = 0; i < left; ++i) out[i] = rows[i];
  }
}

// How groups of codes wait for many tokens: as they are, or with their signs apart.
template <class Sum, bool APART>
struct Waiting {
  using Group = Codes;
  static void store(uint8_t* p, Codes c) { store_codes(p, c); }
  static Group load(const uint8_t* p) { return load_codes(p); }
};
template <class Sum>
struct Waiting<Sum, true> : Sum::Apart {};

// Four k of T tokens and R columns.
template <int GROUP, class Sum, class Group, int T, int R>
static FORCE_INLINE void add_group(Sum (&sums)[T][R], const Group (&codes)[R], const int8_t* x, int64_t stride) {
  if constexpr (PANELS_IN_TURN > 1) {
    UNROLL for (int t = 0; t < T; ++t) Sum::template add_columns<GROUP>(sums[t], codes, x + t * stride);
  } else {
    UNROLL for (int r = 0; r < R; ++r) UNROLL for (int t = 0; t < T; ++t) sums[t][r].template add<GROUP>(
        codes[r], x + t * stride);
  }
}

// Tile is a class template <int T, int R> with run(args, first column, first token).
// n tokens, at most T, in one tile.
template <template <int, int> class Tile, int T, int R>
static void run_tokens(const MatmulArgs& a, int64_t first_column, int64_t token, int64_t n) {
  if (n == T) {
    Tile<T, R>::run(a, first_column, token);
  } else if constexpr (T > 1) {
    run_tokens<Tile, T - 1, R>(a, first_column, token, n);
  }
}

// All tokens against columns [begin, end), at most T tokens times R columns at a time, in tiles of almost the same
// size; every line of weights comes from memory once.
template <template <int, int> class Tile, int T, int R>
static void run_columns(const MatmulArgs& a, int64_t begin, int64_t end) {
  const int64_t n = a.token_end - a.token_begin, tiles = (n + T - 1) / T;
  for (; begin + R <= end; begin += R) {
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t from = n * i / tiles, to = n * (i + 1) / tiles;
      run_tokens<Tile, T, R>(a, begin, a.token_begin + from, to - from);
    }
  }
  if constexpr (R > 1) {
    if (begin < end) run_columns<Tile, T, R / 2>(a, begin, end);
  }
}

// A few tokens take one column so that more of them share a line, many take MANY x MANY_R; one token ONE_R columns.
template <template <int, int> class Tile, int ONE_R, int FEW, int FEW_R, int MANY, int MANY_R>
static void run_tiles(const MatmulArgs& a) {
  const int64_t begin = a.panel_begin * (PANEL_ROWS / LANES), end = a.panel_end * (PANEL_ROWS / LANES);
  const int64_t tokens = a.token_end - a.token_begin;
  if (tokens == 1) {
    run_columns<Tile, 1, ONE_R>(a, begin, end);
  } else if (tokens <= FEW) {
    run_columns<Tile, FEW, FEW_R>(a, begin, end);
  } else {
    run_columns<Tile, MANY, MANY_R>(a, begin, end);
  }
}
