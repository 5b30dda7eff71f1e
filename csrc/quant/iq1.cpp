// IQ1_S and IQ1_M: eight elements by a codebook of 2,048 entries whose digits are -1, 0, 1, all moved by an eighth.
//   x = scale * (2 * sub_scale + 1) * (digit +- 1/8)
// IQ1_S has a sub-scale and a move for 32 elements, IQ1_M a sub-scale for 16 and a move for 8.
#include "quant/decoded.h"
#include "quant/iq_grids.h"

namespace nextoken::quant {
namespace {

// In eighths: digits moved up, then digits moved down.
struct Values {
  static constexpr int8_t VALUES[16] = {-7, 1, 9, 0, -9, -1, 7};
  static constexpr float FACTOR = 0.125f;
};

void set_eight(Decoded& d, int k, int entry, bool down) {
  for (int i = 0; i < 8; ++i) d.codes[k + i] = (uint8_t)((GRID_IQ1[entry] >> (2 * i) & 3) + (down ? 4 : 0));
}

struct BlockIQ1_S {
  static constexpr bool HAS_MIN = false;
  uint16_t scale;
  uint8_t low[32];   // of an entry
  uint16_t upper[8]; // of 32 elements: three bits of four entries, sub-scale, move down

  Decoded decode() const {
    Decoded d;
    d.scale = scale;
    for (int j = 0; j < 8; ++j) {
      d.sub_scales[j] = (int8_t)(2 * (upper[j] >> 12 & 7) + 1);
      for (int i = 0; i < 4; ++i)
        set_eight(d, j * 32 + i * 8, low[j * 4 + i] | (upper[j] >> (3 * i) & 7) << 8, upper[j] >> 15);
    }
    return d;
  }
};
static_assert(sizeof(BlockIQ1_S) == 50);

struct BlockIQ1_M {
  static constexpr bool HAS_MIN = false;
  uint8_t low[32];
  uint8_t upper[16]; // of 16 elements, four bits each of two entries: three of the entry, and whether it moves down
  uint16_t sub[4];   // four sub-scales of three bits, and four bits of the scale

  Decoded decode() const {
    Decoded d;
    for (int j = 0; j < 4; ++j) d.scale |= (uint16_t)(sub[j] >> 12 << (4 * j));
    for (int j = 0; j < 16; ++j) {
      d.sub_scales[j] = (int8_t)(2 * (sub[j / 4] >> (3 * (j % 4)) & 7) + 1);
      for (int i = 0; i < 2; ++i) {
        const int four = upper[j] >> (4 * i) & 15;
        set_eight(d, j * 16 + i * 8, low[j * 2 + i] | (four & 7) << 8, four >> 3);
      }
    }
    return d;
  }
};
static_assert(sizeof(BlockIQ1_M) == 56);

} // namespace

const Format IQ1_S = format_decoded<BlockIQ1_S, LayoutTable<Values, 8, 3>>(WeightType::iq1_s, "IQ1_S");
const Format IQ1_M = format_decoded<BlockIQ1_M, LayoutTable<Values, 16, 3>>(WeightType::iq1_m, "IQ1_M");

} // namespace nextoken::quant
