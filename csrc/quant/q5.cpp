// Q5_0 and Q5_1: as Q4_0 and Q4_1 with a fifth bit of each code, bit i of `fifth` for element i.
//   Q5_0  x = scale * (code - 16)      Q5_1  x = scale * code + minimum
#include "quant/blocks32.h"

namespace nextoken::quant {
namespace {

struct Codes5 {
  uint8_t fifth[4];
  uint8_t nibbles[16];

  uint32_t fifth_bits() const {
    uint32_t bits;
    std::memcpy(&bits, fifth, 4);
    return bits;
  }
  int code(int i) const {
    const int nibble = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    return nibble | (int)((fifth_bits() >> i) & 1) << 4;
  }
  void set(const uint8_t* codes) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) nibbles[i] = (uint8_t)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
    for (int i = 0; i < 32; ++i) bits |= (uint32_t)(codes[i] >> 4) << i;
    std::memcpy(fifth, &bits, 4);
  }
  void place(uint8_t* to) const {
    place_words(nibbles, 4, to + layout::LINE);
    const uint32_t bits = fifth_bits();
    for (int i = 0; i < 4; ++i) {
      uint8_t column = 0;
      for (int g = 0; g < 8; ++g) column |= (uint8_t)(((bits >> (4 * g + i)) & 1) << g);
      to[i] = column; // bit g of byte i is the fifth bit of element 4g + i
    }
  }
};

struct BlockQ5_0 {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q5_BLOCK;
  uint16_t scale;
  Codes5 codes;

  void place(uint8_t* to) const { codes.place(to); }
  void to_floats(float* out) const {
    const float d = from_half(scale);
    for (int i = 0; i < 32; ++i) out[i] = d * (float)(codes.code(i) - 16);
  }
  void from_floats(const float* x) {
    const float d = largest(x, 32) / -16.0f, id = inverse(d);
    uint8_t q[32];
    for (int i = 0; i < 32; ++i) q[i] = code_from(x[i] * id + 16.5f, 31);
    scale = to_half(d);
    codes.set(q);
  }
};
static_assert(sizeof(BlockQ5_0) == 22);

struct BlockQ5_1 {
  static constexpr bool HAS_MIN = true;
  static constexpr int64_t CODE_BYTES = layout::Q5_BLOCK;
  uint16_t scale, minimum;
  Codes5 codes;

  void place(uint8_t* to) const { codes.place(to); }
  void to_floats(float* out) const {
    const float d = from_half(scale), m = from_half(minimum);
    for (int i = 0; i < 32; ++i) out[i] = d * (float)codes.code(i) + m;
  }
  void from_floats(const float* x) {
    const Range r = range_of(x, 32);
    const float d = (r.high - r.low) / 31.0f, id = inverse(d);
    uint8_t q[32];
    for (int i = 0; i < 32; ++i) q[i] = code_from((x[i] - r.low) * id + 0.5f, 31);
    scale = to_half(d);
    minimum = to_half(r.low);
    codes.set(q);
  }
};
static_assert(sizeof(BlockQ5_1) == 24);

} // namespace

const Format Q5_0 = format32<BlockQ5_0>(WeightType::q5_0, "Q5_0");
const Format Q5_1 = format32<BlockQ5_1>(WeightType::q5_1, "Q5_1");

} // namespace nextoken::quant
