// Where things stand in a packed panel of 16 rows: constants that quant/ (which packs) and the kernels (which read)
// share. Codes stand in lines of 64 bytes, [16 rows][4 bytes]: four consecutive bytes of each row of the file.
#pragma once
#include <cstdint>

namespace nextoken::layout {

constexpr int64_t LINE = 64;

// Lines stand in the order in which a kernel for one token wants them: memory is read fastest in ascending lines.

// 32-block types: chunks of one line and the codes of its blocks. The line holds the scales, f16 [16], of two blocks
// (the last chunk may have one), or the scales and minima of one block.
constexpr int64_t chunk_blocks(bool has_min) { return has_min ? 1 : 2; }
constexpr int64_t Q4_BLOCK = 4 * LINE; // line g: low nibbles k 4g.., high nibbles k 16 + 4g..
constexpr int64_t Q5_BLOCK = 5 * LINE; // a line whose bit g of byte i is the fifth bit of k = 4g + i, and the same
constexpr int64_t Q8_BLOCK = 8 * LINE; // line g: k 4g.., xor 0x80 (unsigned, zero at 128)
// IQ4_NL stands as Q4_0. So does MXFP4, but for the line: the exponents, uint8 [16], of four blocks; and NVFP4, whose
// line holds the scales, f16 [16], of the halves of one block. Their nibbles stand for these values, zero points added:
constexpr int64_t MXFP4_CHUNK = 4, NVFP4_CHUNK = 1;
constexpr int FP4_ZERO = 12, IQ4_ZERO = 128;
inline constexpr uint8_t FP4_VALUES[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0}; // e2m1, doubled
inline constexpr uint8_t IQ4_VALUES[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

// 256-block types: per block, offsets of its parts. Scales of sub-blocks are [sub-block][16 rows] bytes, minima
// [pair of sub-blocks][16 rows][2].
// Q4_K: line 8j + g of nibbles has k = 64j + 4g.. low and 64j + 32 + 4g.. high.
// Q5_K: eight times a line of fifth bits and the four lines of nibbles 4h.. that it belongs to; bits 2g and 2g + 1 of
// its byte i are those of byte i of nibble line 4h + g, low and high.
constexpr int64_t Q45_K_SCALE = 0, Q45_K_MIN_SCALE = 32, Q45_K_SCALES = 64, Q45_K_MINS = 192;
constexpr int64_t Q4_K_NIBBLES = 320, Q4_K_BLOCK = Q4_K_NIBBLES + 32 * LINE;
constexpr int64_t Q5_K_CODES = 320, Q5_K_BLOCK = Q5_K_CODES + 8 * 5 * LINE;
// Q6_K. For half h of 128 and group g of 8, three lines: upper bits of k = 128h + 4g.. + {0, 32, 64, 96}, two bits
// each; nibbles of k = 128h + 4g.. low and + 64 high; nibbles of k = 128h + 32 + 4g.. low and + 64 high.
constexpr int64_t Q6_K_SCALE = 0, Q6_K_SCALES = 64, Q6_K_CODES = 320, Q6_K_BLOCK = Q6_K_CODES + 16 * 3 * LINE;
// Q2_K. Line 8h + g has two bits each of k = 128h + 4g.. + {0, 32, 64, 96}.
constexpr int64_t Q2_K_SCALE = 0, Q2_K_MIN_SCALE = 32, Q2_K_SCALES = 64, Q2_K_MINS = 320;
constexpr int64_t Q2_K_CODES = 576, Q2_K_BLOCK = Q2_K_CODES + 16 * LINE;
// Q3_K. For half h of 128 and pair p of 4, three lines: third bits, and the lines of Q2_K for groups g = 2p and 2p + 1;
// bits 0 to 3 of a byte of third bits are those of group 2p, k + {0, 32, 64, 96}, bits 4 to 7 those of the other.
constexpr int64_t Q3_K_SCALE = 0, Q3_K_SCALES = 64, Q3_K_CODES = 320, Q3_K_BLOCK = Q3_K_CODES + 8 * 3 * LINE;
// Types whose codes stand for up to sixteen values: the block carries these, with 128 added, and a factor of its
// scales, float32. Sub-blocks are eight or sixteen. Codes of four bits are lines of nibbles as Q4_K, of three bits
// lines as Q3_K.
constexpr int64_t TABLE_SCALE = 0, TABLE_VALUES = 32, TABLE_FACTOR = 48, TABLE_SCALES = 64;
constexpr int64_t table_codes(int sub_blocks) { return TABLE_SCALES + sub_blocks * 16; }
constexpr int64_t table_block(int sub_blocks, int bits) { return table_codes(sub_blocks) + bits * 8 * LINE; }

// Float types: f32 and f16 are [k][16 rows]. bf16: per four k two lines of words, [16 rows], k above k + 2 and k + 1
// above k + 3 (what vdpbf16ps adds to a chain is the product of the upper halves, then that of the lower ones); the
// last four are filled up with zeros.
static constexpr int64_t bf16_element(int64_t k) { return (k / 4 * 2 + k % 2) * LINE + (k % 4 < 2 ? 2 : 0); }

} // namespace nextoken::layout
