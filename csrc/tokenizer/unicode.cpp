#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>

namespace nextoken::tokenizer {
namespace {

constexpr uint32_t ranges[] = {
#include "tokenizer/unicode_ranges.inc"
};

constexpr uint32_t letter_ranges[] = {
#include "tokenizer/letter_ranges.inc"
};

/// The last range that starts at or before the code point; the low three bits are all ones for the search.
template <size_t n>
uint32_t kind_of(const uint32_t (&table)[n], uint32_t code_point) {
  return std::upper_bound(std::begin(table), std::end(table), code_point << 3 | 7)[-1] & 7;
}

} // namespace

Category category(uint32_t code_point) { return static_cast<Category>(kind_of(ranges, code_point)); }

Letter letter(uint32_t code_point) { return static_cast<Letter>(kind_of(letter_ranges, code_point)); }

bool is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

uint32_t next_code_point(const char*& p, const char* end) {
  const auto lead = static_cast<unsigned char>(*p);
  const int length = utf8_length(lead);
  if (length == 1 || end - p < length) {
    ++p;
    return lead < 0x80 ? lead : 0xFFFD;
  }
  uint32_t c = lead & (0x7F >> length);
  for (int i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(p[i]);
    if ((byte & 0xC0) != 0x80) {
      ++p;
      return 0xFFFD;
    }
    c = c << 6 | (byte & 0x3F);
  }
  p += length;
  return c < 0x110000 ? c : 0xFFFD;
}

} // namespace nextoken::tokenizer
