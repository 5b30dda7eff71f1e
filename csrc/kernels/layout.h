// Where things stand in a packed panel of 16 rows: constants that quant/ (which packs) and the kernels (which read)
// share. Codes stand in lines of 64 bytes, [16 rows][4 bytes]: four consecutive bytes of each row of the file.
#pragma once
#include <cstdint>

namespace nextoken::layout {

constexpr int64_t LINE = 64;

// 32-block types: chunks of up to 8 blocks, each [scales f16 [blocks][16]] [minima, the same] [codes], both headers
// padded to a line; the last chunk of a row may be shorter.
constexpr int64_t CHUNK_BLOCKS = 8;
constexpr int64_t Q4_BLOCK = 4 * LINE; // line g: low nibbles k 4g.., high nibbles k 16 + 4g..
constexpr int64_t Q5_BLOCK = 5 * LINE; // the same, and a line whose bit g of byte i is the fifth bit of k = 4g + i
constexpr int64_t Q8_BLOCK = 8 * LINE; // line g: k 4g.., xor 0x80 (unsigned, zero at 128)

// 256-block types: per block, offsets of its parts. Scales and minima of sub-blocks are [sub-block][16 rows] bytes.
// Q4_K, Q5_K. Nibbles: line 8j + g has k = 64j + 4g.. low and 64j + 32 + 4g.. high. Fifth bits: line g, bit j of
// byte i belongs to k = 32j + 4g + i.
constexpr int64_t Q45_K_SCALE = 0, Q45_K_MIN_SCALE = 32, Q45_K_SCALES = 64, Q45_K_MINS = 192;
constexpr int64_t Q4_K_NIBBLES = 320, Q4_K_BLOCK = Q4_K_NIBBLES + 32 * LINE;
constexpr int64_t Q5_K_FIFTH = 320, Q5_K_NIBBLES = Q5_K_FIFTH + 8 * LINE, Q5_K_BLOCK = Q5_K_NIBBLES + 32 * LINE;
// Q6_K. For half h of 128 and l-group g of 8: nibble line 16h + g has k = 128h + 4g.. low and + 64 high, line
// 16h + 8 + g has k = 128h + 32 + 4g.. low and + 64 high; line 8h + g of upper bits has all four, two bits each.
constexpr int64_t Q6_K_SCALE = 0, Q6_K_SCALES = 64, Q6_K_UPPER = 320;
constexpr int64_t Q6_K_NIBBLES = Q6_K_UPPER + 16 * LINE, Q6_K_BLOCK = Q6_K_NIBBLES + 32 * LINE;

// Float types: f32 and f16 are [k][16 rows], bf16 [k / 2][16 rows][2], an odd k filled up with zero.

} // namespace nextoken::layout
