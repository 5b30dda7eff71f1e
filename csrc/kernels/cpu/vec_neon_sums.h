// Integer sums of vec_neon.h without the dot product: products are kept as int16, four to a row.
#pragma once

// Tokens x columns of a matmul tile: four registers of narrow sums and two of floats a token.
constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 4, MANY_TOKENS = 4, MANY_COLUMNS = 1;
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 4;
constexpr int SUMS_AT_ONCE = 4; // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 1;
constexpr bool MADDUBS = false;
constexpr int64_t ONE_TOKEN_AHEAD = 0;

// A product is at most (2^BITS - 1) * 127, so eight groups of 4-bit or 5-bit codes (31,496), four of 6-bit ones
// (32,004: a whole sub-block) or two of 8-bit ones, taken as signed (32,512), fit before they must be widened.
template <int BITS, int ZERO>
struct BlockSum {
  static_assert(BITS < 8 || ZERO == 128, "8-bit codes are signed ones, xor 0x80");
  int16x8_t rows01, rows23, rows45, rows67;
  I32xL wide;

  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) { clear(start_of(*activations)); }
  void clear(int32_t start) {
    rows01 = rows23 = rows45 = rows67 = vdupq_n_s16(0);
    wide = allI(BITS < 8 ? start : 0);
  }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    const int8x8_t four = vget_low_s8(broadcast4(x));
    const int8x16_t lo = signed_codes<BITS>(c.lo), hi = signed_codes<BITS>(c.hi);
    rows01 = vmlal_s8(rows01, vget_low_s8(lo), four);
    rows23 = vmlal_s8(rows23, vget_high_s8(lo), four);
    rows45 = vmlal_s8(rows45, vget_low_s8(hi), four);
    rows67 = vmlal_s8(rows67, vget_high_s8(hi), four);
    if constexpr (BITS == 8 && GROUP % 2 == 1) {
      wide = value();
      rows01 = rows23 = rows45 = rows67 = vdupq_n_s16(0);
    }
  }
  I32xL value() const {
    return addI(wide, {vpaddq_s32(vpaddlq_s16(rows01), vpaddlq_s16(rows23)),
                       vpaddq_s32(vpaddlq_s16(rows45), vpaddlq_s16(rows67))});
  }
  I32xL scaled(Scale scale, I32xL total) const { return addI(total, mulI(value(), scale)); }
};
