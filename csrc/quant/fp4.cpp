// MXFP4 and NVFP4: codes of four bits that are small floats (sign, two bits of exponent, one of mantissa).
//   MXFP4  x = 2^(exponent - 127) * value, blocks of 32. OCP Microscaling Formats 1.0.
//   NVFP4  x = scale * value, blocks of 64 with a scale for 16 elements: a float of four bits of exponent, three of
//          mantissa, without a sign
// Values stand doubled here, so that they are whole; scales are halved.
#include <algorithm>
#include <cstring>

#include "quant/blocks32.h"

namespace nextoken::quant {
namespace {

float value_of(int code) { return (float)(layout::FP4_VALUES[code] - layout::FP4_ZERO); }

struct BlockMXFP4 {
  uint8_t exponent;
  uint8_t nibbles[16]; // byte i holds elements i (low) and i + 16 (high)
};
static_assert(sizeof(BlockMXFP4) == 17);

// 2^(e - 128); the two smallest are denormal.
float half_power(uint8_t e) { return float_of(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23); }

int64_t panel_bytes_mxfp4(int64_t k) {
  const int64_t blocks = k / 32;
  return (blocks + layout::MXFP4_CHUNK - 1) / layout::MXFP4_CHUNK * layout::LINE + blocks * layout::Q4_BLOCK;
}

bool pack_mxfp4(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  const int64_t blocks = k / 32;
  for (int64_t first = 0; first < blocks; first += layout::MXFP4_CHUNK) {
    const int64_t n = std::min(blocks - first, layout::MXFP4_CHUNK);
    std::memset(panel, 0, (size_t)layout::LINE);
    for (int64_t b = 0; b < n; ++b) {
      for (int64_t row = 0; row < n_rows; ++row) {
        BlockMXFP4 block;
        std::memcpy(&block, rows + (row * blocks + first + b) * (int64_t)sizeof(block), sizeof(block));
        finite &= block.exponent != 255;
        panel[b * 16 + row] = block.exponent;
        place_words(block.nibbles, 4, panel + layout::LINE + b * layout::Q4_BLOCK + row * 4);
      }
    }
    panel += layout::LINE + n * layout::Q4_BLOCK;
  }
  return finite;
}

void dequantize_mxfp4(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t b = 0; b < n / 32; ++b, out += 32) {
    BlockMXFP4 block;
    std::memcpy(&block, bytes + b * (int64_t)sizeof(block), sizeof(block));
    const float d = half_power(block.exponent);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * value_of(block.nibbles[i] & 15);
      out[i + 16] = d * value_of(block.nibbles[i] >> 4);
    }
  }
}

struct BlockNVFP4 {
  uint8_t scales[4];
  uint8_t nibbles[4][8]; // of 16 elements: byte i holds elements i (low) and i + 8 (high)

  int code(int k) const { return nibbles[k / 16][k % 8] >> (k % 16 / 8 * 4) & 15; }
  // Half the scale as f16, which holds it exactly: three bits of mantissa, 2^-10 to 224. All ones is no number, and
  // zero to ggml.
  bool finite(int j) const { return (scales[j] & 0x7f) != 0x7f; }
  uint16_t half_scale(int j) const {
    const int exponent = scales[j] >> 3 & 15, mantissa = scales[j] & 7;
    if (scales[j] == 0x7f) return 0;
    return to_half(exponent ? (float)(8 + mantissa) * float_of((uint32_t)(exponent + 116) << 23)
                            : (float)mantissa * float_of(117u << 23));
  }
};
static_assert(sizeof(BlockNVFP4) == 36);

int64_t panel_bytes_nvfp4(int64_t k) { return k / 32 * (layout::LINE + layout::Q4_BLOCK); }

bool pack_nvfp4(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  for (int64_t b = 0; b < k / 32; ++b, panel += layout::LINE + layout::Q4_BLOCK) {
    std::memset(panel, 0, (size_t)layout::LINE);
    for (int64_t row = 0; row < n_rows; ++row) {
      BlockNVFP4 block;
      std::memcpy(&block, rows + (row * (k / 64) + b / 2) * (int64_t)sizeof(block), sizeof(block));
      const int first = (int)(b % 2) * 2; // of the scales, and of the sub-blocks of 16
      for (int half = 0; half < 2; ++half) {
        finite &= block.finite(first + half);
        const uint16_t scale = block.half_scale(first + half);
        std::memcpy(panel + (half * 16 + row) * 2, &scale, 2);
      }
      uint8_t nibbles[16];
      for (int i = 0; i < 16; ++i)
        nibbles[i] = (uint8_t)(block.code(first * 16 + i) | block.code(first * 16 + 16 + i) << 4);
      place_words(nibbles, 4, panel + layout::LINE + row * 4);
    }
  }
  return finite;
}

void dequantize_nvfp4(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t b = 0; b < n / 64; ++b, out += 64) {
    BlockNVFP4 block;
    std::memcpy(&block, bytes + b * (int64_t)sizeof(block), sizeof(block));
    for (int k = 0; k < 64; ++k) out[k] = from_half(block.half_scale(k / 16)) * value_of(block.code(k));
  }
}

} // namespace

const Format MXFP4 = {{WeightType::mxfp4, "MXFP4", 32, sizeof(BlockMXFP4), ActivationForm::q32},
                      panel_bytes_mxfp4,
                      pack_mxfp4,
                      dequantize_mxfp4,
                      nullptr};
const Format NVFP4 = {{WeightType::nvfp4, "NVFP4", 64, sizeof(BlockNVFP4), ActivationForm::q32},
                      panel_bytes_nvfp4,
                      pack_nvfp4,
                      dequantize_nvfp4,
                      nullptr};

} // namespace nextoken::quant
