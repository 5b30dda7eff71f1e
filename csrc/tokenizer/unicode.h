// What a tokenizer asks about code points: general category, white space, and how to walk UTF-8.
#pragma once
#include <cstdint>

namespace nextoken::tokenizer {

enum class Category : uint8_t { letter, number, separator, mark, punctuation, symbol, control, unassigned };

/// The general category of a code point in Unicode 15.1 (surrogates and private use are `control`).
Category category(uint32_t code_point);

/// What kind of letter a code point is: upper, lower and title case, modifier, other.
enum class Letter : uint8_t { upper, lower, title, modifier, other, none };
Letter letter(uint32_t code_point);

/// The Unicode White_Space property: what \s means in a pre-tokenizer.
bool is_space(uint32_t code_point);

/// Bytes of the character that starts with `lead`; 1 for a byte that can start none.
inline int utf8_length(unsigned char lead) {
  return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 1;
}

/// The code point at `p`, which moves past it. Never reads at `end` or beyond; a byte that starts no complete character
/// counts as U+FFFD of one byte.
uint32_t next_code_point(const char*& p, const char* end);

} // namespace nextoken::tokenizer
