// IQ4_NL and IQ4_XS: codes of four bits that stand for sixteen values which lie closer around zero.
//   IQ4_NL  x = scale * value, blocks of 32
//   IQ4_XS  x = scale * (sub_scale - 32) * value, super-blocks of 256 with eight sub-blocks of 32
// Byte i of 32 elements holds elements i (low) and i + 16 (high).
#include "quant/decoded.h"

namespace nextoken::quant {
namespace {

struct Values {
  static constexpr int8_t VALUES[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  static constexpr float FACTOR = 1.0f;
};

constexpr bool kernels_know_them() {
  for (int i = 0; i < 16; ++i)
    if (layout::IQ4_VALUES[i] - layout::IQ4_ZERO != Values::VALUES[i]) return false;
  return true;
}
static_assert(kernels_know_them());

struct BlockIQ4_NL {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  uint16_t scale;
  uint8_t nibbles[16];

  static void place(const uint8_t* block, uint8_t* to) { place_words(block + offsetof(BlockIQ4_NL, nibbles), 4, to); }
  void to_floats(float* out) const {
    const float d = from_half(scale);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * (float)Values::VALUES[nibbles[i] & 15];
      out[i + 16] = d * (float)Values::VALUES[nibbles[i] >> 4];
    }
  }
};
static_assert(sizeof(BlockIQ4_NL) == 18);

struct BlockIQ4_XS {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint16_t upper;   // two bits of each sub-scale
  uint8_t lower[4]; // four bits of two
  uint8_t nibbles[128];

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 8; ++j) {
      d.sub_scales[j] = (int8_t)(((lower[j / 2] >> (j % 2 * 4) & 15) | (upper >> (2 * j) & 3) << 4) - 32);
      for (int i = 0; i < 16; ++i) {
        d.codes[j * 32 + i] = nibbles[j * 16 + i] & 15;
        d.codes[j * 32 + 16 + i] = nibbles[j * 16 + i] >> 4;
      }
    }
    return d;
  }
};
static_assert(sizeof(BlockIQ4_XS) == 136);

} // namespace

const Format IQ4_NL = {{WeightType::iq4_nl, "IQ4_NL", 32, sizeof(BlockIQ4_NL), ActivationForm::q32},
                       panel_bytes32<BlockIQ4_NL>,
                       pack32<BlockIQ4_NL>,
                       dequantize32<BlockIQ4_NL>,
                       nullptr};
const Format IQ4_XS = format_decoded<BlockIQ4_XS, LayoutTable<Values, 8, 4>>(WeightType::iq4_xs, "IQ4_XS");

} // namespace nextoken::quant
