// How a thread of a warp reads what it holds of a panel's codes (FragmentA): a word of a group and row at a time, four
// neighbours the four words of a line. Codes become signed, as tensor cores multiply them.
#pragma once
#include "kernels/cuda/formats.h"
#include "kernels/cuda/fragment.h"

namespace nextoken::cuda {

NEXTOKEN_HD uint32_t word_at(const uint8_t* p) { return *(const uint32_t*)p; }

/// ZERO less in each byte, which is below 0x80 and may be negative then.
template <int ZERO>
NEXTOKEN_HD uint32_t less_zero(uint32_t bytes) {
  return ZERO == 0 ? bytes : ((bytes | 0x80808080u) - (uint32_t)ZERO * 0x01010101u) ^ 0x80808080u;
}

/// load: groups `group` and `group` + 4 of a block of 32.
template <class F>
struct LaneCodes;

template <bool MIN>
struct LaneCodes<Q4<MIN>> {
  static NEXTOKEN_HD void load(const uint8_t* q, int group, int row, uint32_t (&words)[2]) {
    const uint32_t nibbles = word_at(q + group * layout::LINE + row * 4);
    words[0] = nibbles & 0x0f0f0f0fu;
    words[1] = (nibbles >> 4) & 0x0f0f0f0fu;
  }
};

template <bool MIN>
struct LaneCodes<Q5<MIN>> {
  static NEXTOKEN_HD void load(const uint8_t* q, int group, int row, uint32_t (&words)[2]) {
    const uint32_t fifth = word_at(q + row * 4);
    LaneCodes<Q4<MIN>>::load(q + layout::LINE, group, row, words);
    words[0] |= fifth_bit(fifth, group);
    words[1] |= fifth_bit(fifth, group + 4);
  }
};

/// Types whose nibbles stand for values.
template <class F>
struct LaneValues {
  static NEXTOKEN_HD void load(const uint8_t* q, int group, int row, uint32_t (&words)[2]) {
    LaneCodes<Q4<false>>::load(q, group, row, words);
    for (uint32_t& word : words) word = lookup(F::values(), word);
  }
};
template <>
struct LaneCodes<IQ4_NL> : LaneValues<IQ4_NL> {};
template <>
struct LaneCodes<MXFP4> : LaneValues<MXFP4> {};
template <>
struct LaneCodes<NVFP4> : LaneValues<NVFP4> {};

template <>
struct LaneCodes<Q8_0> {
  static NEXTOKEN_HD void load(const uint8_t* q, int group, int row, uint32_t (&words)[2]) {
    for (int h = 0; h < 2; ++h) words[h] = word_at(q + (group + 4 * h) * layout::LINE + row * 4) ^ 0x80808080u;
  }
};

/// load: a part of a block of 256; codes: group `group` + 4 h of sub-block s of it.
template <>
struct LaneCodes<Q4_K> {
  uint32_t lines[2];
  NEXTOKEN_HD void load(const uint8_t* block, int part, int group, int row) {
    for (int h = 0; h < 2; ++h)
      lines[h] = word_at(block + layout::Q4_K_NIBBLES + (part * 8 + 4 * h + group) * layout::LINE + row * 4);
  }
  NEXTOKEN_HD uint32_t codes(int s, int h) const { return (lines[h] >> (4 * s)) & 0x0f0f0f0fu; }
};

template <>
struct LaneCodes<Q5_K> {
  uint32_t fifth[2], lines[2]; // two bits of a byte of `fifth` are this group's
  NEXTOKEN_HD void load(const uint8_t* block, int part, int group, int row) {
    for (int h = 0; h < 2; ++h) {
      const uint8_t* const five = block + layout::Q5_K_CODES + (part * 2 + h) * 5 * layout::LINE + row * 4;
      fifth[h] = word_at(five) >> (2 * group);
      lines[h] = word_at(five + (1 + group) * layout::LINE);
    }
  }
  NEXTOKEN_HD uint32_t codes(int s, int h) const {
    return ((lines[h] >> (4 * s)) & 0x0f0f0f0fu) | fifth_bit(fifth[h], s);
  }
};

template <>
struct LaneCodes<Q6_K> {
  uint32_t upper, lines[2];
  NEXTOKEN_HD void load(const uint8_t* block, int part, int group, int row) {
    const uint8_t* const three = block + layout::Q6_K_CODES + (part * 4 + group) * 3 * layout::LINE + row * 4;
    upper = word_at(three);
    for (int i = 0; i < 2; ++i) lines[i] = word_at(three + (1 + i) * layout::LINE);
  }
  NEXTOKEN_HD uint32_t codes(int s, int) const {
    return ((lines[s % 2] >> (s / 2 * 4)) & 0x0f0f0f0fu) | (((upper >> (2 * s)) & 0x03030303u) << 4);
  }
};

} // namespace nextoken::cuda
