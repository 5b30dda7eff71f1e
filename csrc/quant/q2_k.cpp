// Q2_K and Q3_K: super-blocks of 256 with sixteen sub-blocks of 16, and the ternary types.
//   Q2_K  x = scale * sub_scale * code - min_scale * sub_min, sub-scales and minima of four bits
//   Q3_K  x = scale * (sub_scale - 32) * (code - 4), sub-scales of six bits
//   TQ1_0, TQ2_0  x = scale * (code - 1)
// Byte l of a half of 128 has the lower two bits of elements l, l + 32, l + 64, l + 96.
#include "quant/decoded.h"

namespace nextoken::quant {
namespace {

/// codes[k] = of(k / 32, k % 32, its two bits), 32 elements at a time, which compilers know how to shift.
template <class Of>
void decode_two_bits(const uint8_t* low, uint8_t* codes, Of&& of) {
  for (int j = 0; j < 8; ++j) {
    const uint8_t* const bytes = low + j / 4 * 32;
    for (int l = 0; l < 32; ++l) codes[j * 32 + l] = (uint8_t)of(j, l, bytes[l] >> (j % 4 * 2) & 3);
  }
}

struct BlockQ2_K {
  static constexpr bool HAS_MIN = true;
  uint8_t sub[16]; // scales low, minima high
  uint8_t low[64];
  uint16_t scale, min_scale;

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    d.min_scale = min_scale;
    for (int j = 0; j < 16; ++j) {
      d.sub_scales[j] = (int8_t)(sub[j] & 15);
      d.sub_minima[j] = sub[j] >> 4;
    }
    decode_two_bits(low, d.codes, [](int, int, int bits) { return bits; });
    return d;
  }
};
static_assert(sizeof(BlockQ2_K) == 84);

struct BlockQ3_K {
  static constexpr bool HAS_MIN = false;
  uint8_t third[32]; // bit j of byte l is that of element 32 j + l
  uint8_t low[64];
  uint8_t sub[12]; // four bits of scales j and j + 8, j < 8; then two of j, j + 4, j + 8, j + 12, j < 4
  uint16_t scale;

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 16; ++j) {
      const int four = sub[j % 8] >> (j / 8 * 4) & 15, two = sub[8 + j % 4] >> (j / 4 * 2) & 3;
      d.sub_scales[j] = (int8_t)((four | two << 4) - 32);
    }
    decode_two_bits(low, d.codes, [&](int j, int l, int bits) { return bits | (third[l] >> j & 1) << 2; });
    return d;
  }
};
static_assert(sizeof(BlockQ3_K) == 110);

// The ternary types have codes as Q3_K's, with sub-scales of one.

// Five digits of three a byte, four in the last four: the fraction byte / 256 in base three.
struct BlockTQ1_0 {
  static constexpr bool HAS_MIN = false;
  uint8_t fives[48]; // of elements l + 32 i (l < 32), then 160 + l + 16 i (l < 16), i < 5
  uint8_t fours[4];  // 240 + l + 4 i, i < 4
  uint16_t scale;

  static int digit(uint8_t byte, int i) {
    static constexpr uint8_t POWERS[] = {1, 3, 9, 27, 81};
    return (uint8_t)(byte * POWERS[i]) * 3 >> 8;
  }
  int code(int k) const {
    if (k < 160) return digit(fives[k % 32], k / 32);
    if (k < 240) return digit(fives[32 + k % 16], (k - 160) / 16);
    return digit(fours[k % 4], (k - 240) / 4);
  }
  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    std::memset(d.sub_scales, 1, 16);
    for (int k = 0; k < 256; ++k) d.codes[k] = (uint8_t)(code(k) + 3);
    return d;
  }
};
static_assert(sizeof(BlockTQ1_0) == 54);

struct BlockTQ2_0 {
  static constexpr bool HAS_MIN = false;
  uint8_t low[64];
  uint16_t scale;

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    std::memset(d.sub_scales, 1, 16);
    decode_two_bits(low, d.codes, [](int, int, int bits) { return bits + 3; });
    return d;
  }
};
static_assert(sizeof(BlockTQ2_0) == 66);

} // namespace

const Format Q2_K = format_decoded<BlockQ2_K, LayoutQ2_K>(WeightType::q2_k, "Q2_K");
const Format Q3_K = format_decoded<BlockQ3_K, LayoutQ3_K>(WeightType::q3_k, "Q3_K");
const Format TQ1_0 = format_decoded<BlockTQ1_0, LayoutQ3_K>(WeightType::tq1_0, "TQ1_0");
const Format TQ2_0 = format_decoded<BlockTQ2_0, LayoutQ3_K>(WeightType::tq2_0, "TQ2_0");

} // namespace nextoken::quant
