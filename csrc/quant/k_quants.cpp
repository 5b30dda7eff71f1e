// Q4_K and Q5_K: super-blocks of 256 with eight sub-blocks of 32, each with a 6-bit scale and a 6-bit minimum.
//   x = scale * sub_scale * code - min_scale * sub_min
#include <cstring>

#include "quant/k_search.h"

namespace nextoken::quant {
namespace {

// Sub-blocks 0-3 have their six bits in the low bits of bytes j (scale) and j + 4 (minimum); sub-blocks 4-7 have four
// bits in byte j + 4 and two on top of those of sub-block j - 4.
struct SubScales {
  uint8_t bytes[12];

  int scale(int j) const { return j < 4 ? bytes[j] & 63 : (bytes[j + 4] & 15) | (bytes[j - 4] >> 6) << 4; }
  int minimum(int j) const { return j < 4 ? bytes[j + 4] & 63 : bytes[j + 4] >> 4 | (bytes[j] >> 6) << 4; }
  void set(const uint8_t* scales, const uint8_t* minima) {
    for (int j = 0; j < 4; ++j) {
      bytes[j] = (uint8_t)(scales[j] | (scales[j + 4] >> 4) << 6);
      bytes[j + 4] = (uint8_t)(minima[j] | (minima[j + 4] >> 4) << 6);
      bytes[j + 8] = (uint8_t)((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
    }
  }
};

// Nibbles of sub-blocks 2j (low) and 2j + 1 (high) share bytes 32j to 32j + 31.
struct BlockQ4_K {
  static constexpr int TOP = 15, STEPS = 20;
  static constexpr float SHRINK = 1.0f;
  static constexpr int64_t PANEL_BLOCK = layout::Q4_K_BLOCK;
  uint16_t scale, min_scale;
  SubScales sub;
  uint8_t nibbles[128];

  int code(int j, int i) const { return nibbles[j / 2 * 32 + i] >> (j % 2 * 4) & 15; }
  void set_codes(const uint8_t* q) {
    for (int i = 0; i < 128; ++i) nibbles[i] = (uint8_t)(q[i / 32 * 64 + i % 32] | q[i / 32 * 64 + 32 + i % 32] << 4);
  }
  void place(uint8_t* block, int64_t row) const { place_words(nibbles, 32, block + layout::Q4_K_NIBBLES + row * 4); }
};
static_assert(sizeof(BlockQ4_K) == 144);

// Bit j of fifth[i] is the fifth bit of element i of sub-block j.
struct BlockQ5_K {
  static constexpr int TOP = 31, STEPS = 15;
  static constexpr float SHRINK = 0.5f;
  static constexpr int64_t PANEL_BLOCK = layout::Q5_K_BLOCK;
  uint16_t scale, min_scale;
  SubScales sub;
  uint8_t fifth[32];
  uint8_t nibbles[128];

  int code(int j, int i) const { return (nibbles[j / 2 * 32 + i] >> (j % 2 * 4) & 15) | (fifth[i] >> j & 1) << 4; }
  void set_codes(const uint8_t* q) {
    std::memset(fifth, 0, 32);
    for (int i = 0; i < 256; ++i) fifth[i % 32] |= (uint8_t)(q[i] >> 4 << i / 32);
    for (int i = 0; i < 128; ++i)
      nibbles[i] = (uint8_t)((q[i / 32 * 64 + i % 32] & 15) | (q[i / 32 * 64 + 32 + i % 32] & 15) << 4);
  }
  void place(uint8_t* block, int64_t row) const {
    for (int line = 0; line < 8; ++line) { // of sub-blocks 2j and 2j + 1, groups 4h to 4h + 3
      const int j = line / 2, h = line % 2;
      uint32_t bits = 0;
      for (int g = 0; g < 4; ++g) {
        uint32_t word;
        std::memcpy(&word, fifth + (4 * h + g) * 4, 4);
        bits |= (word >> (2 * j) & 0x03030303u) << (2 * g);
      }
      uint8_t* to = block + layout::Q5_K_CODES + line * 5 * layout::LINE + row * 4;
      std::memcpy(to, &bits, 4);
      place_words(nibbles + line * 16, 4, to + layout::LINE);
    }
  }
};
static_assert(sizeof(BlockQ5_K) == 176);

template <class Block>
int64_t panel_bytes_k(int64_t k) {
  return k / 256 * Block::PANEL_BLOCK;
}

template <class Block>
bool pack_k(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  for (int64_t row = 0; row < n_rows; ++row) {
    for (int64_t b = 0; b < k / 256; ++b) {
      Block block;
      std::memcpy(&block, rows + (row * (k / 256) + b) * (int64_t)sizeof(Block), sizeof(Block));
      uint8_t* to = panel + b * Block::PANEL_BLOCK;
      finite &= half_is_finite(block.scale) && half_is_finite(block.min_scale);
      std::memcpy(to + layout::Q45_K_SCALE + row * 2, &block.scale, 2);
      std::memcpy(to + layout::Q45_K_MIN_SCALE + row * 2, &block.min_scale, 2);
      for (int j = 0; j < 8; ++j) {
        to[layout::Q45_K_SCALES + j * 16 + row] = (uint8_t)block.sub.scale(j);
        to[layout::Q45_K_MINS + (j / 2 * 16 + row) * 2 + j % 2] = (uint8_t)block.sub.minimum(j);
      }
      block.place(to, row);
    }
  }
  return finite;
}

template <class Block>
void dequantize_k(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t b = 0; b < n / 256; ++b) {
    Block block;
    std::memcpy(&block, bytes + b * (int64_t)sizeof(Block), sizeof(Block));
    for (int j = 0; j < 8; ++j) {
      const float d = from_half(block.scale) * (float)block.sub.scale(j);
      const float m = from_half(block.min_scale) * (float)block.sub.minimum(j);
      for (int i = 0; i < 32; ++i) out[b * 256 + j * 32 + i] = d * (float)block.code(j, i) - m;
    }
  }
}

template <class Block>
void quantize_k(const float* x, int64_t n, uint8_t* bytes) {
  for (int64_t b = 0; b < n / 256; ++b) {
    const float* from = x + b * 256;
    float scales[8], minima[8], most_scale = 0, most_min = 0;
    for (int j = 0; j < 8; ++j) {
      const Affine fit = best_affine<32>(from + j * 32, Block::TOP, Block::SHRINK, Block::STEPS);
      scales[j] = fit.scale;
      minima[j] = fit.minimum;
      if (scales[j] > most_scale) most_scale = scales[j];
      if (minima[j] > most_min) most_min = minima[j];
    }
    Block block;
    block.scale = to_half(most_scale / 63.0f);
    block.min_scale = to_half(most_min / 63.0f);
    const float d = from_half(block.scale), m = from_half(block.min_scale);
    uint8_t sub_scales[8], sub_minima[8], codes[256];
    for (int j = 0; j < 8; ++j) {
      const int scale = code_from(scales[j] * inverse(d) + 0.5f, 63),
                minimum = code_from(minima[j] * inverse(m) + 0.5f, 63);
      best_codes<32>(from + j * 32, Block::TOP, d, m, scale, minimum, sub_scales[j], sub_minima[j], codes + j * 32);
    }
    block.sub.set(sub_scales, sub_minima);
    block.set_codes(codes);
    std::memcpy(bytes + b * (int64_t)sizeof(Block), &block, sizeof(Block));
  }
}

template <class Block>
constexpr Format format_k(WeightType type, const char* name) {
  return {{type, name, 256, sizeof(Block), ActivationForm::q256},
          panel_bytes_k<Block>,
          pack_k<Block>,
          dequantize_k<Block>,
          quantize_k<Block>};
}

} // namespace

const Format Q4_K = format_k<BlockQ4_K>(WeightType::q4_k, "Q4_K");
const Format Q5_K = format_k<BlockQ5_K>(WeightType::q5_k, "Q5_K");

} // namespace nextoken::quant
