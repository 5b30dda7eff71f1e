// What the formats with blocks of 32 elements share: the panel's chunks, and walking blocks of a row.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "quant/format.h"
#include "quant/half.h"

namespace nextoken::quant {

// Block types have: scale; CODE_BYTES per panel; HAS_MIN and then minimum; place(block in a file, its codes in the
// panel's block), which loads from the file's bytes: words across two stores of a copy would wait for both.
template <class Block>
int64_t panel_bytes32(int64_t k) {
  constexpr int64_t IN_CHUNK = layout::chunk_blocks(Block::HAS_MIN);
  return (k / 32 + IN_CHUNK - 1) / IN_CHUNK * layout::LINE + k / 32 * Block::CODE_BYTES;
}

template <class Block>
bool pack32(const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  const int64_t blocks = k / 32;
  bool finite = true;
  uint8_t* chunk = panel;
  for (int64_t first = 0; first < blocks; first += layout::chunk_blocks(Block::HAS_MIN)) {
    const int64_t n = std::min(blocks - first, layout::chunk_blocks(Block::HAS_MIN));
    uint8_t* codes = chunk + layout::LINE;
    std::memset(chunk, 0, (size_t)layout::LINE);
    for (int64_t b = 0; b < n; ++b) {
      for (int64_t row = 0; row < n_rows; ++row) {
        const uint8_t* const from = rows + (row * blocks + first + b) * (int64_t)sizeof(Block);
        Block block;
        std::memcpy(&block, from, sizeof(Block));
        finite &= half_is_finite(block.scale);
        std::memcpy(chunk + (b * 16 + row) * 2, &block.scale, 2);
        if constexpr (Block::HAS_MIN) {
          finite &= half_is_finite(block.minimum);
          std::memcpy(chunk + (16 + row) * 2, &block.minimum, 2);
        }
        Block::place(from, codes + b * Block::CODE_BYTES + row * 4);
      }
    }
    chunk = codes + n * Block::CODE_BYTES;
  }
  return finite;
}

// Blocks convert themselves: to_floats(float[32]), from_floats(const float[32]).
template <class Block>
void dequantize32(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t b = 0; b < n / 32; ++b) {
    Block block;
    std::memcpy(&block, bytes + b * (int64_t)sizeof(Block), sizeof(Block));
    block.to_floats(out + b * 32);
  }
}

template <class Block>
void quantize32(const float* x, int64_t n, uint8_t* bytes) {
  for (int64_t b = 0; b < n / 32; ++b) {
    Block block;
    block.from_floats(x + b * 32);
    std::memcpy(bytes + b * (int64_t)sizeof(Block), &block, sizeof(Block));
  }
}

template <class Block>
constexpr Format format32(WeightType type, const char* name) {
  return {{type, name, 32, sizeof(Block), ActivationForm::q32},
          panel_bytes32<Block>,
          pack32<Block>,
          dequantize32<Block>,
          quantize32<Block>};
}

// Four-byte words of a row's codes, a line apart.
inline void place_words(const uint8_t* words, int n, uint8_t* to) {
  for (int i = 0; i < n; ++i) std::memcpy(to + i * layout::LINE, words + i * 4, 4);
}

// The element of largest magnitude, the first of them, with its sign.
inline float largest(const float* x, int n) {
  float best = 0.0f;
  for (int i = 0; i < n; ++i)
    if ((x[i] < 0 ? -x[i] : x[i]) > (best < 0 ? -best : best)) best = x[i];
  return best;
}

struct Range {
  float low, high;
};

inline Range range_of(const float* x, int n) {
  Range r{x[0], x[0]};
  for (int i = 1; i < n; ++i) {
    if (x[i] < r.low) r.low = x[i];
    if (x[i] > r.high) r.high = x[i];
  }
  return r;
}

inline float inverse(float d) { return d == 0.0f ? 0.0f : 1.0f / d; }

// Truncates into [0, top]; NaN becomes 0.
inline uint8_t code_from(float x, int top) { return x >= (float)top ? (uint8_t)top : x > 0.0f ? (uint8_t)x : 0; }

} // namespace nextoken::quant
