// Q5_0 and Q5_1: as Q4_0 and Q4_1 with a fifth bit of each code, bit i of `fifth` for element i.
//   Q5_0  x = scale * (code - 16)      Q5_1  x = scale * code + minimum
#include "quant/blocks32.h"

namespace nextoken::quant {
namespace {

uint32_t word_at(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, 4);
  return word;
}

struct Codes5 {
  uint8_t fifth[4];
  uint8_t nibbles[16];

  uint32_t fifth_bits() const { return word_at(fifth); }
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
  static void place(const uint8_t* codes, uint8_t* to) {
    const uint32_t bits = word_at(codes + offsetof(Codes5, fifth));
    for (int i = 0; i < 4; ++i) {
      uint32_t column = (bits >> i) & 0x11111111u; // the fifth bits of elements 4g + i, pushed together
      column = (column | column >> 3) & 0x03030303u;
      column = (column | column >> 6) & 0x000f000fu;
      to[i] = (uint8_t)(column | column >> 12); // bit g of byte i is that of element 4g + i
    }
    place_words(codes + offsetof(Codes5, nibbles), 4, to + layout::LINE);
  }
};

struct BlockQ5_0 {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q5_BLOCK;
  uint16_t scale;
  Codes5 codes;

  static void place(const uint8_t* block, uint8_t* to) { Codes5::place(block + offsetof(BlockQ5_0, codes), to); }
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

  static void place(const uint8_t* block, uint8_t* to) { Codes5::place(block + offsetof(BlockQ5_1, codes), to); }
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
