// Q4_0 and Q4_1: 32 codes of four bits. Byte i holds elements i (low) and i + 16 (high).
//   Q4_0  x = scale * (code - 8)       Q4_1  x = scale * code + minimum
#include "quant/blocks32.h"

namespace nextoken::quant {
namespace {

void pack_nibbles(const uint8_t* codes, uint8_t* bytes) {
  for (int i = 0; i < 16; ++i) bytes[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
}

struct BlockQ4_0 {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  uint16_t scale;
  uint8_t nibbles[16];

  static void place(const uint8_t* block, uint8_t* to) { place_words(block + offsetof(BlockQ4_0, nibbles), 4, to); }
  void to_floats(float* out) const {
    const float d = from_half(scale);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * (float)((nibbles[i] & 15) - 8);
      out[i + 16] = d * (float)((nibbles[i] >> 4) - 8);
    }
  }
  void from_floats(const float* x) {
    const float d = largest(x, 32) / -8.0f, id = inverse(d);
    uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = code_from(x[i] * id + 8.5f, 15);
    scale = to_half(d);
    pack_nibbles(codes, nibbles);
  }
};
static_assert(sizeof(BlockQ4_0) == 18);

struct BlockQ4_1 {
  static constexpr bool HAS_MIN = true;
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  uint16_t scale, minimum;
  uint8_t nibbles[16];

  static void place(const uint8_t* block, uint8_t* to) { place_words(block + offsetof(BlockQ4_1, nibbles), 4, to); }
  void to_floats(float* out) const {
    const float d = from_half(scale), m = from_half(minimum);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * (float)(nibbles[i] & 15) + m;
      out[i + 16] = d * (float)(nibbles[i] >> 4) + m;
    }
  }
  void from_floats(const float* x) {
    const Range r = range_of(x, 32);
    const float d = (r.high - r.low) / 15.0f, id = inverse(d);
    uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = code_from((x[i] - r.low) * id + 0.5f, 15);
    scale = to_half(d);
    minimum = to_half(r.low);
    pack_nibbles(codes, nibbles);
  }
};
static_assert(sizeof(BlockQ4_1) == 20);

} // namespace

const Format Q4_0 = format32<BlockQ4_0>(WeightType::q4_0, "Q4_0");
const Format Q4_1 = format32<BlockQ4_1>(WeightType::q4_1, "Q4_1");

} // namespace nextoken::quant
