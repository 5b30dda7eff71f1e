// Q8_0: 32 signed bytes and a scale, x = scale * code.
#include "quant/blocks32.h"

namespace nextoken::quant {
namespace {

struct BlockQ8_0 {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q8_BLOCK;
  uint16_t scale;
  int8_t codes[32];

  void place(uint8_t* to) const {
    uint8_t shifted[32]; // unsigned with zero at 128
    for (int i = 0; i < 32; ++i) shifted[i] = (uint8_t)codes[i] ^ 0x80;
    place_words(shifted, 8, to);
  }
  void to_floats(float* out) const {
    const float d = from_half(scale);
    for (int i = 0; i < 32; ++i) out[i] = (float)codes[i] * d;
  }
  void from_floats(const float* x) {
    const float most = largest(x, 32), d = (most < 0 ? -most : most) / 127.0f, id = inverse(d);
    for (int i = 0; i < 32; ++i) {
      const float v = x[i] * id, magnitude = v < 0 ? -v : v;
      const uint8_t whole = code_from(magnitude, 127); // halves round away from zero
      const int rounded = whole < 127 && magnitude - (float)whole >= 0.5f ? whole + 1 : whole;
      codes[i] = (int8_t)(v < 0 ? -rounded : rounded);
    }
    scale = to_half(d);
  }
};
static_assert(sizeof(BlockQ8_0) == 34);

} // namespace

const Format Q8_0 = format32<BlockQ8_0>(WeightType::q8_0, "Q8_0");

} // namespace nextoken::quant
