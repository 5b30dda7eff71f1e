// Types with blocks of 256 that are taken apart into small integers, and packed from those. Block types have
//   HAS_MIN; decode() -> Decoded
// and stand for x = scale * sub_scale * value, less min_scale * sub_min in types with a minimum.
#pragma once
#include <cstring>

#include "quant/blocks32.h"

namespace nextoken::quant {

/// A block, taken apart. Sub-blocks are as many as the type's layout has.
struct Decoded {
  uint16_t scale = 0, min_scale = 0; // f16
  int8_t sub_scales[16] = {};
  uint8_t sub_minima[16] = {};
  uint8_t codes[256];
};

// Four codes at a time.
inline uint32_t four_codes(const Decoded& block, int k) {
  uint32_t word;
  std::memcpy(&word, block.codes + k, 4);
  return word;
}

inline void place_word(uint32_t word, uint8_t* line, int64_t row) { std::memcpy(line + row * 4, &word, 4); }

/// Q2_K: x = scale * sub_scale * code - min_scale * sub_min, codes of two bits.
struct LayoutQ2_K {
  static constexpr int SUB_BLOCKS = 16;
  static constexpr int64_t BLOCK = layout::Q2_K_BLOCK;
  static void place(const Decoded& block, int64_t row, uint8_t* to) {
    std::memcpy(to + layout::Q2_K_MIN_SCALE + row * 2, &block.min_scale, 2);
    for (int j = 0; j < 16; ++j) {
      to[layout::Q2_K_SCALES + j * 16 + row] = (uint8_t)block.sub_scales[j];
      to[layout::Q2_K_MINS + (j / 2 * 16 + row) * 2 + j % 2] = block.sub_minima[j];
    }
    for (int line = 0; line < 16; ++line)
      place_word(low(block, line), to + layout::Q2_K_CODES + line * layout::LINE, row);
  }
  // The lower two bits of the codes of a line.
  static uint32_t low(const Decoded& block, int line) {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i)
      word |= (four_codes(block, line / 8 * 128 + line % 8 * 4 + i * 32) & 0x03030303u) << (2 * i);
    return word;
  }
  static float value(int code) { return (float)code; }
};

// Codes of three bits: two lines of lower bits after one of third bits.
inline void place_three_bits(const Decoded& block, int64_t row, uint8_t* codes) {
  for (int pair = 0; pair < 8; ++pair) {
    const int line = pair / 4 * 8 + pair % 4 * 2;
    uint8_t* lines = codes + pair * 3 * layout::LINE;
    uint32_t third = 0;
    for (int i = 0; i < 8; ++i) {
      const int k = line / 8 * 128 + (line % 8 + i / 4) * 4 + i % 4 * 32;
      third |= (four_codes(block, k) >> 2 & 0x01010101u) << i;
    }
    place_word(third, lines, row);
    place_word(LayoutQ2_K::low(block, line), lines + layout::LINE, row);
    place_word(LayoutQ2_K::low(block, line + 1), lines + 2 * layout::LINE, row);
  }
}

/// Q3_K: x = scale * sub_scale * (code - 4), codes of three bits.
struct LayoutQ3_K {
  static constexpr int SUB_BLOCKS = 16;
  static constexpr int64_t BLOCK = layout::Q3_K_BLOCK;
  static void place(const Decoded& block, int64_t row, uint8_t* to) {
    for (int j = 0; j < 16; ++j) to[layout::Q3_K_SCALES + j * 16 + row] = (uint8_t)block.sub_scales[j];
    place_three_bits(block, row, to + layout::Q3_K_CODES);
  }
  static float value(int code) { return (float)(code - 4); }
};

/// x = FACTOR * scale * sub_scale * VALUES[code], codes of WIDTH bits, three or four, FACTOR a power of two.
template <class Values, int N, int WIDTH>
struct LayoutTable {
  static constexpr int SUB_BLOCKS = N;
  static constexpr int64_t BLOCK = layout::table_block(N, WIDTH);
  static void place(const Decoded& block, int64_t row, uint8_t* to) {
    for (int i = 0; i < 16; ++i) to[layout::TABLE_VALUES + i] = (uint8_t)(Values::VALUES[i] + 128);
    std::memcpy(to + layout::TABLE_FACTOR, &Values::FACTOR, 4);
    for (int j = 0; j < N; ++j) to[layout::TABLE_SCALES + j * 16 + row] = (uint8_t)block.sub_scales[j];
    uint8_t* codes = to + layout::table_codes(N);
    if constexpr (WIDTH == 3) return place_three_bits(block, row, codes);
    for (int line = 0; line < 32; ++line) {
      const int k = line / 8 * 64 + line % 8 * 4;
      place_word(four_codes(block, k) | four_codes(block, k + 32) << 4, codes + line * layout::LINE, row);
    }
  }
  static float value(int code) { return Values::FACTOR * (float)Values::VALUES[code]; }
};

template <class Layout>
int64_t panel_bytes_decoded(int64_t k) {
  return k / 256 * Layout::BLOCK;
}

template <class Block, class Layout>
bool pack_decoded(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  bool finite = true;
  for (int64_t b = 0; b < k / 256; ++b) {
    uint8_t* to = panel + b * Layout::BLOCK;
    std::memset(to, 0, (size_t)layout::LINE);
    for (int64_t row = 0; row < n_rows; ++row) {
      Block block;
      std::memcpy(&block, rows + (row * (k / 256) + b) * (int64_t)sizeof(block), sizeof(block));
      const Decoded decoded = block.decode();
      finite &= half_is_finite(decoded.scale) && half_is_finite(decoded.min_scale);
      std::memcpy(to + row * 2, &decoded.scale, 2);
      Layout::place(decoded, row, to);
    }
  }
  return finite;
}

template <class Block, class Layout>
void dequantize_decoded(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t b = 0; b < n / 256; ++b) {
    Block block;
    std::memcpy(&block, bytes + b * (int64_t)sizeof(block), sizeof(block));
    const Decoded decoded = block.decode();
    const float scale = from_half(decoded.scale), min_scale = from_half(decoded.min_scale);
    for (int k = 0; k < 256; ++k) {
      const int sub = k * Layout::SUB_BLOCKS / 256;
      const float x = scale * (float)decoded.sub_scales[sub] * Layout::value(decoded.codes[k]);
      out[b * 256 + k] = Block::HAS_MIN ? x - min_scale * (float)decoded.sub_minima[sub] : x;
    }
  }
}

template <class Block, class Layout>
constexpr Format format_decoded(WeightType type, const char* name) {
  return {{type, name, 256, sizeof(Block), ActivationForm::q256},
          panel_bytes_decoded<Layout>,
          pack_decoded<Block, Layout>,
          dequantize_decoded<Block, Layout>,
          nullptr};
}

} // namespace nextoken::quant
