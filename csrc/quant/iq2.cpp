// IQ2_XXS, IQ2_XS, IQ2_S: eight elements by a codebook of 256, 512 or 1,024 entries whose digits are 8, 25, 43, and
// their signs.
//   x = scale * (sub_scale + 1/2) / 4 * digit * sign
#include "quant/decoded.h"
#include "quant/iq_grids.h"

namespace nextoken::quant {
namespace {

// Digits, then negative ones; with sub-scales 2 * sub_scale + 1.
struct Values {
  static constexpr int8_t VALUES[16] = {8, 25, 43, 0, -8, -25, -43};
  static constexpr float FACTOR = 0.125f;
};

void set_eight(Decoded& d, int k, uint32_t digits, uint32_t signs) {
  for (int i = 0; i < 8; ++i) d.codes[k + i] = (uint8_t)((digits >> (2 * i) & 3) | (signs >> i & 1) << 2);
}

int8_t odd(uint32_t sub_scale) { return (int8_t)(2 * (sub_scale & 15) + 1); }

struct BlockIQ2_XXS {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint8_t words[8][8]; // of 32 elements: four entries; four times seven signs and a sub-scale

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 8; ++j) {
      uint32_t rest;
      std::memcpy(&rest, words[j] + 4, 4);
      d.sub_scales[j] = odd(rest >> 28);
      for (int i = 0; i < 4; ++i)
        set_eight(d, j * 32 + i * 8, GRID_IQ2_XXS[words[j][i]], even_signs(rest >> (7 * i) & 127));
    }
    return d;
  }
};
static_assert(sizeof(BlockIQ2_XXS) == 66);

struct BlockIQ2_XS {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint16_t words[32]; // an entry of nine bits, seven signs
  uint8_t sub[8];     // two of 16 elements each

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 16; ++j) d.sub_scales[j] = odd((uint32_t)sub[j / 2] >> (j % 2 * 4));
    for (int i = 0; i < 32; ++i) set_eight(d, i * 8, GRID_IQ2_XS[words[i] & 511], even_signs(words[i] >> 9));
    return d;
  }
};
static_assert(sizeof(BlockIQ2_XS) == 74);

struct BlockIQ2_S {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint8_t low[32];   // of an entry
  uint8_t signs[32]; // of eight elements
  uint8_t upper[8];  // two bits of four entries
  uint8_t sub[8];

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 16; ++j) d.sub_scales[j] = odd((uint32_t)sub[j / 2] >> (j % 2 * 4));
    for (int i = 0; i < 32; ++i)
      set_eight(d, i * 8, GRID_IQ2_S[low[i] | (upper[i / 4] >> (i % 4 * 2) & 3) << 8], signs[i]);
    return d;
  }
};
static_assert(sizeof(BlockIQ2_S) == 82);

} // namespace

const Format IQ2_XXS = format_decoded<BlockIQ2_XXS, LayoutTable<Values, 8, 3>>(WeightType::iq2_xxs, "IQ2_XXS");
const Format IQ2_XS = format_decoded<BlockIQ2_XS, LayoutTable<Values, 16, 3>>(WeightType::iq2_xs, "IQ2_XS");
const Format IQ2_S = format_decoded<BlockIQ2_S, LayoutTable<Values, 16, 3>>(WeightType::iq2_s, "IQ2_S");

} // namespace nextoken::quant
