// Integer sums of vec_neon.h by dot products of four.
#pragma once

// Tokens x columns of a matmul tile: two registers of sums and two of floats a token.
constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 4, MANY_TOKENS = 6, MANY_COLUMNS = 1;
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 4;
constexpr int SUMS_AT_ONCE = 4; // of sub-blocks that share lines

// Codes of up to seven bits are signed as they are, and their zero point is the start of the sum; those of eight bits
// lose it by the change of sign.
template <int BITS, int ZERO>
struct BlockSum {
  static_assert(BITS < 8 || ZERO == 128, "8-bit codes are signed ones, xor 0x80");
  I32xL sum;
  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) { clear(start_of(*activations)); }
  void clear(int32_t start) { sum = allI(BITS < 8 ? start : 0); }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    const int8x16_t four = broadcast4(x);
    sum = {vdotq_s32(sum.lo, signed_codes<BITS>(c.lo), four), vdotq_s32(sum.hi, signed_codes<BITS>(c.hi), four)};
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const { return addI(total, mulI(value(), scale)); }
};
