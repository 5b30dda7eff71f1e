// Integer sums of vec_neon.h by dot products of four: of ARMv8.2, or of ARMv8.6, which takes unsigned codes.
#pragma once

// Tokens x columns of a matmul tile: two registers of sums and two of floats a token.
constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 4, MANY_TOKENS = 6, MANY_COLUMNS = 1;
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 4;
constexpr int SUMS_AT_ONCE = 4; // of sub-blocks that share lines
constexpr int PANELS_IN_TURN = 1;
constexpr bool MADDUBS = false;
constexpr int64_t ONE_TOKEN_AHEAD = 0;

#if defined(__ARM_FEATURE_MATMUL_INT8)
// Unsigned codes as they are.
constexpr int SIGNED_FROM = 9; // bits
template <int BITS>
static inline int32x4_t dot_codes(int32x4_t sum, uint8x16_t codes, int8x16_t x) {
  return vusdotq_s32(sum, codes, x);
}
#else
// Codes of up to seven bits are signed as they are; those of eight lose their zero point by the change of sign.
constexpr int SIGNED_FROM = 8;
template <int BITS>
static inline int32x4_t dot_codes(int32x4_t sum, uint8x16_t codes, int8x16_t x) {
  return vdotq_s32(sum, signed_codes<BITS>(codes), x);
}
#endif

// The zero point is the start of the sum.
template <int BITS, int ZERO>
struct BlockSum {
  static_assert(BITS < 8 || ZERO == 128, "8-bit codes are signed ones, xor 0x80");
  I32xL sum;
  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) { clear(start_of(*activations)); }
  void clear(int32_t start) { sum = allI(BITS < SIGNED_FROM ? start : 0); }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    const int8x16_t four = broadcast4(x);
    sum = {dot_codes<BITS>(sum.lo, c.lo, four), dot_codes<BITS>(sum.hi, c.hi, four)};
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const { return addI(total, mulI(value(), scale)); }
};
