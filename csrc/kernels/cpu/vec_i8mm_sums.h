// Integer sums of vec_neon.h by dot products of unsigned codes: no change of sign of those of eight bits.
#pragma once

// Tokens x columns of a matmul tile: two registers of sums and two of floats a token.
constexpr int ONE_COLUMNS = 2, FEW_TOKENS = 4, MANY_TOKENS = 6, MANY_COLUMNS = 1;
constexpr int FLOAT_ONE_COLUMNS = 4, FLOAT_TOKENS = 6, FLOAT_COLUMNS = 2, K_TOKENS = 4;
constexpr int SUMS_AT_ONCE = 4; // of sub-blocks that share lines

// The zero point is the start of the sum.
template <int BITS, int ZERO>
struct BlockSum {
  I32xL sum;
  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) { clear(start_of(*activations)); }
  void clear(int32_t start) { sum = allI(start); }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    const int8x16_t four = broadcast4(x);
    sum = {vusdotq_s32(sum.lo, c.lo, four), vusdotq_s32(sum.hi, c.hi, four)};
  }
  I32xL value() const { return sum; }
  I32xL scaled(Scale scale, I32xL total) const { return addI(total, mulI(value(), scale)); }
};
