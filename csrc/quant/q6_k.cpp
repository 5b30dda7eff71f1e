// Q6_K: super-blocks of 256 with sixteen sub-blocks of 16, each with an int8 scale.
//   x = scale * sub_scale * (code - 32)
// Each half of 128 has 64 bytes of low nibbles (elements l and l + 64, l < 64) and 32 bytes of upper bits (elements
// l, l + 32, l + 64, l + 96, l < 32, two bits each).
#include <cstring>

#include "quant/k_search.h"

namespace nextoken::quant {
namespace {

struct BlockQ6_K {
  uint8_t nibbles[128];
  uint8_t upper[64];
  int8_t sub_scales[16];
  uint16_t scale;

  int code(int k) const {
    const int half = k / 128, l = k % 128;
    const int low = nibbles[half * 64 + l % 64] >> (l / 64 * 4) & 15;
    return low | (upper[half * 32 + l % 32] >> (l / 32 * 2) & 3) << 4;
  }
  void set_codes(const uint8_t* q) {
    std::memset(nibbles, 0, sizeof nibbles);
    std::memset(upper, 0, sizeof upper);
    for (int k = 0; k < 256; ++k) {
      const int half = k / 128, l = k % 128;
      nibbles[half * 64 + l % 64] |= (uint8_t)((q[k] & 15) << (l / 64 * 4));
      upper[half * 32 + l % 32] |= (uint8_t)((q[k] >> 4) << (l / 32 * 2));
    }
  }
};
static_assert(sizeof(BlockQ6_K) == 210);

int64_t panel_bytes_q6(int64_t k) { return k / 256 * layout::Q6_K_BLOCK; }

bool pack_q6(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  for (int64_t b = 0; b < k / 256; ++b) {
    uint8_t* to = panel + b * layout::Q6_K_BLOCK;
    std::memset(to, 0, layout::LINE); // the scales fill half of it
    for (int64_t row = 0; row < n_rows; ++row) {
      BlockQ6_K block;
      std::memcpy(&block, rows + (row * (k / 256) + b) * (int64_t)sizeof(block), sizeof(block));
      finite &= half_is_finite(block.scale);
      std::memcpy(to + layout::Q6_K_SCALE + row * 2, &block.scale, 2);
      for (int j = 0; j < 16; ++j) to[layout::Q6_K_SCALES + j * 16 + row] = (uint8_t)block.sub_scales[j];
      for (int i = 0; i < 16; ++i) {
        const uint8_t* nibbles = block.nibbles + i / 8 * 64 + i % 8 * 4;
        uint8_t* lines = to + layout::Q6_K_CODES + i * 3 * layout::LINE + row * 4;
        std::memcpy(lines, block.upper + i * 4, 4);
        std::memcpy(lines + layout::LINE, nibbles, 4);
        std::memcpy(lines + 2 * layout::LINE, nibbles + 32, 4);
      }
    }
  }
  return finite;
}

void dequantize_q6(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t b = 0; b < n / 256; ++b) {
    BlockQ6_K block;
    std::memcpy(&block, bytes + b * (int64_t)sizeof(block), sizeof(block));
    const float d = from_half(block.scale);
    for (int k = 0; k < 256; ++k) out[b * 256 + k] = d * (float)block.sub_scales[k / 16] * (float)(block.code(k) - 32);
  }
}

void quantize_q6(const float* x, int64_t n, uint8_t* bytes) {
  for (int64_t b = 0; b < n / 256; ++b) {
    const float* from = x + b * 256;
    float steps[16];
    for (int j = 0; j < 16; ++j) steps[j] = best_scale<16>(from + j * 16, 32);
    BlockQ6_K block;
    block.scale = to_half(largest(steps, 16) / -128.0f);
    const float d = from_half(block.scale);
    uint8_t codes[256];
    for (int j = 0; j < 16; ++j) {
      const int sub = (int)code_from(steps[j] * inverse(d) + 128.5f, 255) - 128;
      block.sub_scales[j] = (int8_t)sub;
      const float inverse_step = inverse(d * (float)sub);
      for (int i = 0; i < 16; ++i) codes[j * 16 + i] = code_from(from[j * 16 + i] * inverse_step + 32.5f, 63);
    }
    block.set_codes(codes);
    std::memcpy(bytes + b * (int64_t)sizeof(block), &block, sizeof(block));
  }
}

} // namespace

const Format Q6_K = {{WeightType::q6_k, "Q6_K", 256, sizeof(BlockQ6_K), ActivationForm::q256},
                     panel_bytes_q6,
                     pack_q6,
                     dequantize_q6,
                     quantize_q6};

} // namespace nextoken::quant
