// IQ3_XXS and IQ3_S: four elements by a codebook of 256 or 512 entries whose digits are eight values, and their signs.
//   IQ3_XXS  x = scale * (sub_scale + 1/2) / 2 * digit * sign
//   IQ3_S    x = scale * (2 * sub_scale + 1) * digit * sign
#include "quant/decoded.h"
#include "quant/iq_grids.h"

namespace nextoken::quant {
namespace {

// Digits, then negative ones; with sub-scales 2 * sub_scale + 1.
struct ValuesXXS {
  static constexpr int8_t VALUES[16] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62};
  static constexpr float FACTOR = 0.25f;
};
struct ValuesS {
  static constexpr int8_t VALUES[16] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};
  static constexpr float FACTOR = 1.0f;
};

void set_four(Decoded& d, int k, uint32_t digits, uint32_t signs) {
  for (int i = 0; i < 4; ++i) d.codes[k + i] = (uint8_t)((digits >> (3 * i) & 7) | (signs >> i & 1) << 3);
}

struct BlockIQ3_XXS {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint8_t entries[64];
  uint8_t words[8][4]; // of 32 elements: four times seven signs of eight, and a sub-scale

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 8; ++j) {
      uint32_t word;
      std::memcpy(&word, words[j], 4);
      d.sub_scales[j] = (int8_t)(2 * (word >> 28) + 1);
      for (int i = 0; i < 8; ++i) {
        const uint32_t signs = even_signs(word >> (7 * (i / 2)) & 127) >> (i % 2 * 4);
        set_four(d, j * 32 + i * 4, GRID_IQ3_XXS[entries[j * 8 + i]], signs);
      }
    }
    return d;
  }
};
static_assert(sizeof(BlockIQ3_XXS) == 98);

struct BlockIQ3_S {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint8_t low[64];   // of an entry
  uint8_t upper[8];  // the ninth bits of eight entries
  uint8_t signs[32]; // of eight elements
  uint8_t sub[4];    // two of 32 elements each

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 8; ++j) d.sub_scales[j] = (int8_t)(2 * (sub[j / 2] >> (j % 2 * 4) & 15) + 1);
    for (int i = 0; i < 64; ++i) {
      const uint32_t eight = signs[i / 2];
      set_four(d, i * 4, GRID_IQ3_S[low[i] | (upper[i / 8] >> (i % 8) & 1) << 8], eight >> (i % 2 * 4));
    }
    return d;
  }
};
static_assert(sizeof(BlockIQ3_S) == 110);

} // namespace

const Format IQ3_XXS = format_decoded<BlockIQ3_XXS, LayoutTable<ValuesXXS, 8, 4>>(WeightType::iq3_xxs, "IQ3_XXS");
const Format IQ3_S = format_decoded<BlockIQ3_S, LayoutTable<ValuesS, 8, 4>>(WeightType::iq3_s, "IQ3_S");

} // namespace nextoken::quant
