// How weights stand in a packed panel (kernels/layout.h), read sixteen bytes at a time: four bytes of each of four
// rows, a "quad" of the panel's sixteen. A group is four consecutive k; codes come as one word a group and row.
#pragma once
#include "kernels/cuda/block.h"
#include "kernels/layout.h"

namespace nextoken::cuda {

constexpr int QUAD = 4; // rows in a wide load

NEXTOKEN_HD float half_at(const uint8_t* p) { return from_half(*(const uint16_t*)p); }

/// Bytes 0 to 15 become those of a table with that index.
NEXTOKEN_HD uint32_t lookup(const Words& table, uint32_t bytes) {
#if defined(__CUDA_ARCH__)
  uint32_t selector = bytes & 0x07070707u; // four bits each, of eight bytes
  selector = (selector | selector >> 4) & 0x00ff00ffu;
  selector = (selector | selector >> 8) & 0xffffu;
  const uint32_t upper = ((bytes >> 3) & 0x01010101u) * 0xffu;
  return (__byte_perm(table.v[0], table.v[1], selector) & ~upper) |
         (__byte_perm(table.v[2], table.v[3], selector) & upper);
#else
  uint32_t values = 0;
  for (int i = 0; i < 32; i += 8) {
    const uint32_t index = (bytes >> i) & 15;
    values |= ((table.v[index / 4] >> (index % 4 * 8)) & 0xffu) << i;
  }
  return values;
#endif
}

/// f16 scales, and minima beside them.
struct ScalesF16 {
  static constexpr int PARTS = 1;            // of a block of 32, each with a scale
  static constexpr int64_t SCALE_BYTES = 32; // of the sixteen rows
  static NEXTOKEN_HD float scale(const uint8_t* scales, int row) { return half_at(scales + row * 2); }
};

// --- blocks of 32: eight groups ----------------------------------------------------------------------------------

template <bool MIN>
struct Q4 : ScalesF16 {
  static constexpr bool HAS_MIN = MIN;
  static constexpr int ZERO = MIN ? 0 : 8;
  static constexpr int64_t IN_CHUNK = layout::chunk_blocks(MIN);
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  /// `q` at the block's codes, moved to the quad
  static NEXTOKEN_HD void unpack(const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    for (int g = 0; g < 4; ++g) {
      const Words line = load_words(q + g * layout::LINE);
      for (int r = 0; r < QUAD; ++r) {
        codes[g][r] = line.v[r] & 0x0f0f0f0fu;
        codes[g + 4][r] = (line.v[r] >> 4) & 0x0f0f0f0fu;
      }
    }
  }
};

/// Bit `n` of each byte, moved to bit 4.
NEXTOKEN_HD uint32_t fifth_bit(uint32_t bytes, int n) { return ((bytes >> n) & 0x01010101u) << 4; }

template <bool MIN>
struct Q5 : ScalesF16 {
  static constexpr bool HAS_MIN = MIN;
  static constexpr int ZERO = MIN ? 0 : 16;
  static constexpr int64_t IN_CHUNK = layout::chunk_blocks(MIN);
  static constexpr int64_t CODE_BYTES = layout::Q5_BLOCK;
  static NEXTOKEN_HD void unpack(const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    const Words fifth = load_words(q);
    Q4<MIN>::unpack(q + layout::LINE, codes);
    for (int g = 0; g < 8; ++g)
      for (int r = 0; r < QUAD; ++r) codes[g][r] |= fifth_bit(fifth.v[r], g);
  }
};

struct Q8_0 : ScalesF16 {
  static constexpr bool HAS_MIN = false;
  static constexpr int ZERO = 0; // codes are made signed again
  static constexpr int64_t IN_CHUNK = layout::chunk_blocks(false);
  static constexpr int64_t CODE_BYTES = layout::Q8_BLOCK;
  static NEXTOKEN_HD void unpack(const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    for (int g = 0; g < 8; ++g) {
      const Words line = load_words(q + g * layout::LINE);
      for (int r = 0; r < QUAD; ++r) codes[g][r] = line.v[r] ^ 0x80808080u;
    }
  }
};

/// Nibbles as in Q4_0 that stand for values, which are signed.
struct ValuesOfNibbles {
  static constexpr bool HAS_MIN = false;
  static constexpr int ZERO = 0;
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  static NEXTOKEN_HD void unpack(const Words& values, const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    Q4<false>::unpack(q, codes);
    for (int g = 0; g < 8; ++g)
      for (int r = 0; r < QUAD; ++r) codes[g][r] = lookup(values, codes[g][r]);
  }
};

struct IQ4_NL : ScalesF16, ValuesOfNibbles {
  static constexpr int64_t IN_CHUNK = layout::chunk_blocks(false);
  // -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113
  static NEXTOKEN_HD Words values() { return {{0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}}; }
  static NEXTOKEN_HD void unpack(const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    ValuesOfNibbles::unpack(values(), q, codes);
  }
};

/// Exponents for scales, and values doubled.
struct MXFP4 : ValuesOfNibbles {
  static constexpr int PARTS = 1;
  static constexpr int64_t SCALE_BYTES = 16, IN_CHUNK = layout::MXFP4_CHUNK;
  static NEXTOKEN_HD float scale(const uint8_t* exponents, int row) {
    const uint32_t e = exponents[row];
    return float_of_bits(e ? e << 23 : 0x00400000u) * 0.5f;
  }
  // 0 1 2 3, 4 6 8 12, and the same below zero
  static NEXTOKEN_HD Words values() { return {{0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}}; }
  static NEXTOKEN_HD void unpack(const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    ValuesOfNibbles::unpack(values(), q, codes);
  }
};

/// The same values, and a scale for each half of a block.
struct NVFP4 : ScalesF16, ValuesOfNibbles {
  static constexpr int PARTS = 2;
  static constexpr int64_t IN_CHUNK = layout::NVFP4_CHUNK;
  static NEXTOKEN_HD Words values() { return MXFP4::values(); }
  static NEXTOKEN_HD void unpack(const uint8_t* q, uint32_t (&codes)[8][QUAD]) {
    ValuesOfNibbles::unpack(values(), q, codes);
  }
  /// Groups of that half alone: the low nibbles, or the high ones.
  static NEXTOKEN_HD void unpack_half(const uint8_t* q, int half, uint32_t (&codes)[4][QUAD]) {
    for (int g = 0; g < 4; ++g) {
      const Words line = load_words(q + g * layout::LINE);
      for (int r = 0; r < QUAD; ++r) codes[g][r] = lookup(values(), (line.v[r] >> (4 * half)) & 0x0f0f0f0fu);
    }
  }
};

/// Where the scales of part `p` of a block stand behind those of the first.
NEXTOKEN_HD int64_t part_scales(int p) { return p * 32; }

/// Where the parts of block `b` of a row stand in its panel.
template <class F>
struct Place32 {
  int64_t scales, minima, codes;
  explicit NEXTOKEN_HD Place32(int64_t b) {
    const int64_t chunk = b / F::IN_CHUNK * (layout::LINE + F::IN_CHUNK * F::CODE_BYTES);
    scales = chunk + b % F::IN_CHUNK * F::SCALE_BYTES;
    minima = chunk + 32;
    codes = chunk + layout::LINE + b % F::IN_CHUNK * F::CODE_BYTES;
  }
};

// --- blocks of 256: four parts of 64 k with SUBS sub-blocks of GROUPS groups each --------------------------------

struct ScaleAtStart {
  static NEXTOKEN_HD float scale(const uint8_t* block, int row) { return half_at(block + row * 2); }
};

struct Q4_K : ScaleAtStart {
  static constexpr bool HAS_MIN = true;
  static constexpr int64_t MIN_SCALE = layout::Q45_K_MIN_SCALE, MINS = layout::Q45_K_MINS;
  static constexpr int MIN_SUBS = 8, ZERO = 0, SUBS = 2, GROUPS = 8;
  static constexpr int64_t BLOCK_BYTES = layout::Q4_K_BLOCK, SCALES = layout::Q45_K_SCALES;
  Words lines[8];
  NEXTOKEN_HD Q4_K(const uint8_t* block, int part, int quad) {
    for (int g = 0; g < 8; ++g)
      lines[g] = load_words(block + layout::Q4_K_NIBBLES + (part * 8 + g) * layout::LINE + quad * 16);
  }
  static NEXTOKEN_HD int sub_block(int part, int s) { return 2 * part + s; }
  NEXTOKEN_HD uint32_t codes(int s, int g, int row) const { return (lines[g].v[row] >> (4 * s)) & 0x0f0f0f0fu; }
};

struct Q5_K : ScaleAtStart {
  static constexpr bool HAS_MIN = true;
  static constexpr int64_t MIN_SCALE = layout::Q45_K_MIN_SCALE, MINS = layout::Q45_K_MINS;
  static constexpr int MIN_SUBS = 8, ZERO = 0, SUBS = 2, GROUPS = 8;
  static constexpr int64_t BLOCK_BYTES = layout::Q5_K_BLOCK, SCALES = layout::Q45_K_SCALES;
  Words fifth[2], lines[8];
  NEXTOKEN_HD Q5_K(const uint8_t* block, int part, int quad) {
    for (int i = 0; i < 2; ++i) {
      const uint8_t* const five = block + layout::Q5_K_CODES + (part * 2 + i) * 5 * layout::LINE + quad * 16;
      fifth[i] = load_words(five);
      for (int g = 0; g < 4; ++g) lines[i * 4 + g] = load_words(five + (1 + g) * layout::LINE);
    }
  }
  static NEXTOKEN_HD int sub_block(int part, int s) { return 2 * part + s; }
  NEXTOKEN_HD uint32_t codes(int s, int g, int row) const {
    return ((lines[g].v[row] >> (4 * s)) & 0x0f0f0f0fu) | fifth_bit(fifth[g / 4].v[row], g % 4 * 2 + s);
  }
};

struct Q6_K : ScaleAtStart {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t MIN_SCALE = 0, MINS = 0;
  static constexpr int MIN_SUBS = 0, ZERO = 32, SUBS = 4, GROUPS = 4;
  static constexpr int64_t BLOCK_BYTES = layout::Q6_K_BLOCK, SCALES = layout::Q6_K_SCALES;
  Words lines[4][3]; // of each group: upper bits, then two lines of nibbles
  NEXTOKEN_HD Q6_K(const uint8_t* block, int part, int quad) {
    for (int g = 0; g < 4; ++g)
      for (int i = 0; i < 3; ++i)
        lines[g][i] = load_words(block + layout::Q6_K_CODES + ((part * 4 + g) * 3 + i) * layout::LINE + quad * 16);
  }
  static NEXTOKEN_HD int sub_block(int part, int s) { return part / 2 * 8 + s * 2 + part % 2; }
  NEXTOKEN_HD uint32_t codes(int s, int g, int row) const {
    const uint32_t low = (lines[g][1 + s % 2].v[row] >> (s / 2 * 4)) & 0x0f0f0f0fu;
    return low | (((lines[g][0].v[row] >> (2 * s)) & 0x03030303u) << 4);
  }
};

/// Scale of a sub-block for a row: unsigned beside minima, signed without.
template <class F>
NEXTOKEN_HD int sub_scale(const uint8_t* block, int sub_block, int row) {
  const uint8_t byte = block[F::SCALES + sub_block * 16 + row];
  return F::HAS_MIN ? (int)byte : (int)(int8_t)byte;
}
template <class F>
NEXTOKEN_HD int sub_minimum(const uint8_t* block, int sub_block, int row) {
  return block[F::MINS + sub_block / 2 * 32 + row * 2 + sub_block % 2];
}
/// Of a row, times sums of sixteen activations each.
template <class F>
NEXTOKEN_HD int total_minimum(const uint8_t* block, int row, const int* sums16) {
  int total = 0;
  for (int sub = 0; sub < F::MIN_SUBS; ++sub) {
    const int sum = F::MIN_SUBS == 16 ? sums16[sub] : sums16[2 * sub] + sums16[2 * sub + 1];
    total += sub_minimum<F>(block, sub, row) * sum;
  }
  return total;
}

} // namespace nextoken::cuda
