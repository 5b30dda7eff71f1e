// Types in blocks of 256 whose codes are told a line at a time, for both kernels that read them: `line(at)` is the word
// of the reader's row in the line at byte `at` of the block. See formats.h; parts are as there.
#pragma once
#include <type_traits>

#include "kernels/cuda/tile_formats.h"

namespace nextoken::cuda {

/// Two bits of group l of 32 elements, of a quarter of the half that begins at `codes`.
template <class Line>
NEXTOKEN_HD uint32_t two_bits(int64_t at, int quarter, Line line) {
  return (line(at) >> (2 * quarter)) & 0x03030303u;
}

/// Three bits of the same, where a line of third bits and two lines of others stand for each pair of groups.
template <class Line>
NEXTOKEN_HD uint32_t three_bits(int64_t codes, int half, int quarter, int l, Line line) {
  const int64_t lines = codes + (half * 4 + l / 2) * 3 * layout::LINE;
  const uint32_t third = (line(lines) >> (l % 2 * 4 + quarter)) & 0x01010101u;
  return two_bits(lines + (1 + l % 2) * layout::LINE, quarter, line) | third << 2;
}

/// Sixteen sub-blocks of sixteen; a part is half the groups of a half, of all four quarters.
struct Sixteenths {
  static constexpr int SUBS = 4, GROUPS = 4;
  static NEXTOKEN_HD int sub_block(int part, int s) { return part / 2 * 8 + s * 2 + part % 2; }
};
/// Eight of 32, two a part.
struct Eighths {
  static constexpr int SUBS = 2, GROUPS = 8;
  static NEXTOKEN_HD int sub_block(int part, int s) { return 2 * part + s; }
};

struct LinesQ2_K : Sixteenths {
  static constexpr bool HAS_MIN = true;
  static constexpr int ZERO = 0, MIN_SUBS = 16;
  static constexpr int64_t BLOCK_BYTES = layout::Q2_K_BLOCK, SCALES = layout::Q2_K_SCALES;
  static constexpr int64_t MIN_SCALE = layout::Q2_K_MIN_SCALE, MINS = layout::Q2_K_MINS;
  static NEXTOKEN_HD float scale(const uint8_t* block, int row) { return half_at(block + row * 2); }
  template <class Line>
  static NEXTOKEN_HD uint32_t codes(const uint8_t*, int part, int s, int g, Line line) {
    return two_bits(layout::Q2_K_CODES + (part / 2 * 8 + part % 2 * 4 + g) * layout::LINE, s, line);
  }
};

struct LinesQ3_K : Sixteenths {
  static constexpr bool HAS_MIN = false;
  static constexpr int ZERO = 4, MIN_SUBS = 0;
  static constexpr int64_t BLOCK_BYTES = layout::Q3_K_BLOCK, SCALES = layout::Q3_K_SCALES, MIN_SCALE = 0, MINS = 0;
  static NEXTOKEN_HD float scale(const uint8_t* block, int row) { return half_at(block + row * 2); }
  template <class Line>
  static NEXTOKEN_HD uint32_t codes(const uint8_t*, int part, int s, int g, Line line) {
    return three_bits(layout::Q3_K_CODES, part / 2, s, part % 2 * 4 + g, line);
  }
};

/// Codes of WIDTH bits that stand for values which the block carries; N sub-blocks.
template <int N, int WIDTH>
struct LinesTable : std::conditional_t<N == 16, Sixteenths, Eighths> {
  using Shape = std::conditional_t<N == 16, Sixteenths, Eighths>;
  static constexpr bool HAS_MIN = false;
  static constexpr int ZERO = 0, MIN_SUBS = 0; // values are made signed
  static constexpr int64_t BLOCK_BYTES = layout::table_block(N, WIDTH), SCALES = layout::TABLE_SCALES;
  static constexpr int64_t MIN_SCALE = 0, MINS = 0;
  static constexpr int64_t CODES = layout::table_codes(N);
  static NEXTOKEN_HD float scale(const uint8_t* block, int row) {
    return half_at(block + row * 2) * *(const float*)(block + layout::TABLE_FACTOR); // a power of two
  }
  template <class Line>
  static NEXTOKEN_HD uint32_t codes(const uint8_t* block, int part, int s, int g, Line line) {
    const int sub = Shape::sub_block(part, s);
    const int run = N == 16 ? sub / 2 : sub, l = N == 16 ? sub % 2 * 4 + g : g;
    uint32_t nibbles;
    if constexpr (WIDTH == 3)
      nibbles = three_bits(CODES, run / 4, run % 4, l, line);
    else
      nibbles = (line(CODES + (run / 2 * 8 + l) * layout::LINE) >> (run % 2 * 4)) & 0x0f0f0f0fu;
    const Words values = load_words(block + layout::TABLE_VALUES);
    return lookup(values, nibbles) ^ 0x80808080u;
  }
};

/// As formats.h has a type: a part of a block, for a quad of rows.
template <class Lines>
struct ByLine : Lines {
  const uint8_t* block;
  int part, quad;
  NEXTOKEN_HD ByLine(const uint8_t* block, int part, int quad) : block(block), part(part), quad(quad) {}
  NEXTOKEN_HD uint32_t codes(int s, int g, int row) const {
    const auto line = [&](int64_t at) { return load_words(block + at + quad * 16).v[row]; };
    return Lines::codes(block, part, s, g, line);
  }
};
template <class Lines>
struct LaneCodes<ByLine<Lines>> {
  const uint8_t* block;
  int part, group, row;
  NEXTOKEN_HD void load(const uint8_t* from, int of_part, int of_group, int of_row) {
    block = from, part = of_part, group = of_group, row = of_row;
  }
  NEXTOKEN_HD uint32_t codes(int s, int h) const {
    const auto line = [&](int64_t at) { return word_at(block + at + row * 4); };
    return Lines::codes(block, part, s, group + 4 * h, line);
  }
};

using Q2_K = ByLine<LinesQ2_K>;
using Q3_K = ByLine<LinesQ3_K>;
template <int N, int WIDTH>
using Table = ByLine<LinesTable<N, WIDTH>>;

} // namespace nextoken::cuda
