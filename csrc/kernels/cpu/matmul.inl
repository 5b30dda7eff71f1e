// Weights times activations, and rows of packed weights back as floats. A new type is a description in
// matmul_formats.inl and a row here.

// Tiles, in tokens x columns, are those of the vector types: accumulators and integer sums must fit the registers, and
// arrays of them live there only if every loop over a tile is unrolled.
#include "unroll.h"

// A few tokens are bound by arithmetic, and weights come meanwhile if a line is asked for with every group, not many at
// once. One token leaves memory to the hardware's prefetching where that is faster: on Zen 4, not on Zen 3.
template <int T, int R>
constexpr bool PREFETCHES = (T > 2 && R == 1) || (T == 1 && ONE_TOKEN_AHEAD > 0);
template <int T>
constexpr int64_t PREFETCH_AHEAD = T == 1 ? ONE_TOKEN_AHEAD : 6144; // bytes of one stream; past its end is harmless

static inline float f16_of_row(const uint8_t* halves, int64_t lane) {
  float rows[16];
  store16(rows, load16_f16((const uint16_t*)halves));
  return rows[lane];
}

static inline float float_of_row(F32xL rows_of_column, int64_t lane) {
  float rows[LANES];
  storeL(rows, rows_of_column);
  return rows[lane % LANES];
}

static inline void row_of_codes(Codes codes, int64_t lane, uint8_t* four) {
  uint8_t rows[sizeof(Codes)];
  memcpy(rows, &codes, sizeof(Codes));
  memcpy(four, rows + lane % LANES * 4, 4);
}

// clang-format off: in the order they need each other
#include "matmul_formats.inl"
#include "matmul_tile.inl"
#include "matmul_q32_many.inl"
#include "matmul_q32.inl"
#include "matmul_q256_many.inl"
#include "matmul_q256.inl"
#include "matmul_float.inl"
#if defined(__aarch64__)
#include "bf16_arm.inl"
#endif
#include "matmul_bf16.inl"
// clang-format on

#define FOR_EACH_TYPE(ROW)                   \
  ROW(f32, TilesFloat<FormatF32>)            \
  ROW(f16, TilesFloat<FormatF16>)            \
  ROW(bf16, TilesBf16<Bf16AsFloats>)         \
  ROW(q4_0, TilesQ32<FormatQ4<false>>)       \
  ROW(q4_1, TilesQ32<FormatQ4<true>>)        \
  ROW(q5_0, TilesQ32<FormatQ5<false>>)       \
  ROW(q5_1, TilesQ32<FormatQ5<true>>)        \
  ROW(q8_0, TilesQ32<FormatQ8_0>)            \
  ROW(iq4_nl, TilesQ32<FormatIQ4_NL>)        \
  ROW(mxfp4, TilesQ32<FormatMXFP4>)          \
  ROW(nvfp4, TilesQ32<FormatNVFP4>)          \
  ROW(q2_k, TilesQ256<FormatQ2_K>)           \
  ROW(q3_k, TilesQ256<FormatQ3_K>)           \
  ROW(tq1_0, TilesQ256<FormatQ3_K>)          \
  ROW(tq2_0, TilesQ256<FormatQ3_K>)          \
  ROW(q4_k, TilesQ256<FormatQ4_K>)           \
  ROW(q5_k, TilesQ256<FormatQ5_K>)           \
  ROW(q6_k, TilesQ256<FormatQ6_K>)           \
  ROW(iq1_s, TilesQ256<FormatTable<8, 3>>)   \
  ROW(iq1_m, TilesQ256<FormatTable<16, 3>>)  \
  ROW(iq2_xxs, TilesQ256<FormatTable<8, 3>>) \
  ROW(iq2_xs, TilesQ256<FormatTable<16, 3>>) \
  ROW(iq2_s, TilesQ256<FormatTable<16, 3>>)  \
  ROW(iq3_xxs, TilesQ256<FormatTable<8, 4>>) \
  ROW(iq3_s, TilesQ256<FormatTable<8, 4>>)   \
  ROW(iq4_xs, TilesQ256<FormatTable<8, 4>>)

static void matmul(const MatmulArgs& args) {
  switch (args.type) {
#define ROW(TYPE, ...)   \
  case WeightType::TYPE: \
    return __VA_ARGS__::matmul(args);
    FOR_EACH_TYPE(ROW)
#undef ROW
  }
}

static void unpack_row(WeightType type, const uint8_t* panels, int64_t panel_bytes, int64_t row, int64_t k,
                       float* out) {
  const uint8_t* panel = panels + row / PANEL_ROWS * panel_bytes;
  switch (type) {
#define ROW(TYPE, ...)   \
  case WeightType::TYPE: \
    return __VA_ARGS__::unpack_row(panel, row % PANEL_ROWS, k, out);
    FOR_EACH_TYPE(ROW)
#undef ROW
  }
}

#undef FOR_EACH_TYPE
