#include "tokenizer/chars_map.h"

#include <algorithm>
#include <cstring>

#include "base/errors.h"
#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {
namespace {

// A unit of the array: where its children are, whether it ends a key, and by which byte it is reached.
uint32_t children(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }
bool ends_key(uint32_t unit) { return (unit >> 8) & 1; }
bool reached_by(uint32_t unit, unsigned char byte) { return (unit & 0x800000FF) == byte; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }

[[noreturn]] void broken(const std::string& what) { throw TokenizerError("precompiled_charsmap " + what); }

constexpr size_t short_cluster = 6; // bytes from which on a cluster is taken apart

/// Signs of Burmese and Tai that are marks, but characters of their own.
bool apart(uint32_t c) {
  return c == 0x102B || c == 0x102C || c == 0x1038 || (c >= 0x1062 && c <= 0x1064) || (c >= 0x1067 && c <= 0x106D) ||
         c == 0x1083 || (c >= 0x1087 && c <= 0x108C) || c == 0x108F || (c >= 0x109A && c <= 0x109C) || c == 0x1A61 ||
         c == 0x1A63 || c == 0x1A64 || c == 0xAA7B || c == 0xAA7D || c == 0x11720 || c == 0x11721;
}

bool is_tag(uint32_t c) { return c >= 0xE0020 && c <= 0xE007F; } // letters of a flag

/// Whether it belongs to the character before it.
bool goes_on(uint32_t c) {
  return (category(c) == Category::mark && !apart(c)) || c == 0x200C || c == 0x200D || c == 0xE33 || c == 0xEB3 ||
         (c >= 0x1F3FB && c <= 0x1F3FF) || c == 0xFF9E || c == 0xFF9F || is_tag(c);
}

/// Whether it belongs to the character behind it, of those short enough.
bool prepends(uint32_t c) {
  return (c >= 0x600 && c <= 0x605) || c == 0x6DD || c == 0x70F || c == 0x890 || c == 0x891 || c == 0x8E2 || c == 0xD4E;
}

/// Whether no cluster goes on before or behind it: a line's end, a control or format character.
bool stands_alone(uint32_t c) {
  const bool private_use = (c >= 0xE000 && c <= 0xF8FF) || c >= 0xF0000;
  const bool ignored = c >= 0xE0000 && c <= 0xE0FFF;
  const bool control = (category(c) == Category::control && !private_use) || ignored;
  return (control && !prepends(c) && !goes_on(c)) || c == 0x2028 || c == 0x2029;
}

/// Bytes of the grapheme cluster at the beginning (UAX 29, without what joins characters of Hangul, India and emoji:
/// that never makes a short cluster).
size_t cluster_length(std::string_view text) {
  const char *p = text.data(), *end = p + text.size();
  uint32_t before = next_code_point(p, end);
  while (p < end) {
    const char* next = p;
    const uint32_t c = next_code_point(next, end);
    const bool line_end = before == '\r' && c == '\n';
    const bool joined = !stands_alone(before) && !stands_alone(c) && (goes_on(c) || prepends(before));
    if (!line_end && !joined) break;
    before = c;
    p = next;
  }
  return static_cast<size_t>(p - text.data());
}

} // namespace

CharsMap::CharsMap(std::string_view blob) {
  uint32_t n_bytes = 0;
  if (blob.size() < 4) broken("has " + std::to_string(blob.size()) + " bytes, its length needs 4");
  std::memcpy(&n_bytes, blob.data(), 4);
  if (n_bytes == 0 || n_bytes % 4 != 0 || n_bytes > blob.size() - 4)
    broken("says that its array has " + std::to_string(n_bytes) + " bytes; " + std::to_string(blob.size() - 4) +
           " remain, in units of 4");
  units_.resize(n_bytes / 4);
  std::memcpy(units_.data(), blob.data() + 4, n_bytes);
  texts_ = blob.substr(4 + n_bytes);
  if (texts_.empty() || texts_.back() != '\0') broken("does not end its last text");
  check();
}

void CharsMap::check() const {
  std::vector<uint32_t> level{children(units_[0])}, next;
  std::vector<uint8_t> seen(units_.size());
  for (int depth = 0; !level.empty(); ++depth) {
    if (depth == most_key_bytes) broken("has keys of more than " + std::to_string(most_key_bytes) + " bytes");
    next.clear();
    for (const uint32_t node : level) {
      for (int byte = 1; byte < 256; ++byte) {
        const uint32_t at = node ^ static_cast<uint32_t>(byte);
        if (at >= units_.size() || !reached_by(units_[at], static_cast<unsigned char>(byte))) continue;
        const uint32_t child = at ^ children(units_[at]);
        if (ends_key(units_[at])) {
          if (child >= units_.size()) broken("leads out of its array");
          const uint32_t offset = value(units_[child]);
          if (offset >= texts_.size()) broken("leads to no text");
          const std::string_view text = text_at(offset);
          for (const char *p = text.data(), *end = p + text.size(); p < end;) {
            const char* begin = p;
            if (next_code_point(p, end) == 0xFFFD && p - begin != 3) broken("leads to a text that is no UTF-8");
          }
        }
        next.push_back(child);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    level.swap(next);
  }
}

std::string_view CharsMap::text_at(uint32_t offset) const { return texts_.c_str() + offset; }

CharsMap::Found CharsMap::find(std::string_view text, bool longest) const {
  Found found{0, {}};
  uint32_t node = children(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || !reached_by(units_[node], byte)) break;
    const uint32_t unit = units_[node];
    node ^= children(unit);
    if (!ends_key(unit)) continue;
    found = {static_cast<int64_t>(i) + 1, text_at(value(units_[node]))};
    if (!longest) break;
  }
  return found;
}

std::string CharsMap::apply(std::string_view utf8, Match match) const {
  std::string result;
  result.reserve(utf8.size() + utf8.size() / 8);
  const auto character = [](std::string_view text) {
    return std::min(static_cast<size_t>(utf8_length(static_cast<unsigned char>(text[0]))), text.size());
  };
  for (size_t p = 0; p < utf8.size();) {
    const std::string_view rest = utf8.substr(p);
    if (match == Match::longest) {
      const Found found = find(rest, true);
      const size_t length = found.length > 0 ? static_cast<size_t>(found.length) : character(rest);
      result.append(found.length > 0 ? found.text : rest.substr(0, length));
      p += length;
      continue;
    }
    const std::string_view cluster = rest.substr(0, cluster_length(rest));
    p += cluster.size();
    if (cluster.size() < short_cluster) {
      if (const Found found = find(cluster, false); found.length > 0) { // though the key be a part of it
        result.append(found.text);
        continue;
      }
    }
    for (size_t at = 0; at < cluster.size();) {
      const std::string_view one = cluster.substr(at, character(cluster.substr(at)));
      const Found found = find(one, false);
      result.append(found.length > 0 ? found.text : one);
      at += one.size();
    }
  }
  return result;
}

} // namespace nextoken::tokenizer
