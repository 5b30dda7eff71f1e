// Q8_0: 32 signed bytes and a scale, x = scale * code.
#include "quant/lanes.h"

namespace nextoken::quant {
namespace {

struct BlockQ8_0 {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q8_BLOCK;
  uint16_t scale;
  int8_t codes[32];

  static void place(const uint8_t* block, uint8_t* to) {
    for (int g = 0; g < 8; ++g) {
      uint32_t word;
      std::memcpy(&word, block + offsetof(BlockQ8_0, codes) + g * 4, 4);
      word ^= 0x80808080u; // unsigned with zero at 128
      std::memcpy(to + g * layout::LINE, &word, 4);
    }
  }
  void to_floats(float* out) const {
    const float d = from_half(scale);
    for (int i = 0; i < 32; ++i) out[i] = (float)codes[i] * d;
  }
  void from_floats(const float* x) {
    F32x4 most4{};
    for (int i = 0; i < 32; i += 4) {
      const F32x4 size = magnitude(load4(x + i));
      most4 = size > most4 ? size : most4;
    }
    const float ab = most4[0] > most4[1] ? most4[0] : most4[1], cd = most4[2] > most4[3] ? most4[2] : most4[3];
    const float d = (ab > cd ? ab : cd) / 127.0f, id = inverse(d);
    for (int i = 0; i < 32; i += 4) {
      const F32x4 v = load4(x + i) * id, size = magnitude(v);
      F32x4 whole = codes4(size, 1.0f, 0.0f, 127.0f);
      whole = size - whole >= 0.5f && whole < 127.0f ? whole + 1.0f : whole; // halves round away from zero
      whole = v < 0.0f ? -whole : whole;
      for (int lane = 0; lane < 4; ++lane) codes[i + lane] = (int8_t)whole[lane];
    }
    scale = to_half(d);
  }
};
static_assert(sizeof(BlockQ8_0) == 34);

} // namespace

const Format Q8_0 = format32<BlockQ8_0>(WeightType::q8_0, "Q8_0");

} // namespace nextoken::quant
