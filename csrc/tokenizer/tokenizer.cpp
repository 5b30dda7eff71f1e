#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "base/errors.h"
#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {
namespace {

void check_utf8(std::string_view text) {
  const char *p = text.data(), *end = p + text.size();
  while (p < end) {
    const char* before = p;
    if (next_code_point(p, end) == 0xFFFD && p - before != 3)
      throw std::invalid_argument("text is not UTF-8 at byte " + std::to_string(before - text.data()));
  }
}

/// The first byte of the character that ends before `p`.
const char* previous(const char* begin, const char* p) {
  do --p;
  while (p > begin && (static_cast<unsigned char>(*p) & 0xC0) == 0x80);
  return p;
}

const char* spaces_before(const char* begin, const char* p) {
  while (p > begin) {
    const char* q = previous(begin, p);
    const char* next = q;
    if (!is_space(next_code_point(next, p))) break;
    p = q;
  }
  return p;
}

const char* spaces_behind(const char* p, const char* end) {
  while (p < end) {
    const char* next = p;
    if (!is_space(next_code_point(next, end))) break;
    p = next;
  }
  return p;
}

/// What \w matches.
bool in_word(uint32_t c) {
  const Category kind = category(c);
  return kind == Category::letter || kind == Category::number || kind == Category::mark || c == '_';
}

bool begins_word(const char* p, const char* end) { return p < end && in_word(next_code_point(p, end)); }

bool ends_word(const char* begin, const char* p) { return p > begin && begins_word(previous(begin, p), p); }

} // namespace

Tokenizer::Tokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const TokenKind kind = vocabulary_.kind(id);
    if (kind != TokenKind::control && kind != TokenKind::unknown && kind != TokenKind::user_defined) continue;
    if (vocabulary_.text(id).empty()) throw TokenizerError("special token " + std::to_string(id) + " is empty");
    (kind == TokenKind::user_defined ? user_defined_ : control_).add(vocabulary_.text(id), id);
    all_special_.add(vocabulary_.text(id), id);
  }
}

void Tokenizer::set_edges(int32_t id, uint8_t edges) { edges_.emplace_back(id, edges); }

std::optional<Tokenizer::Span> Tokenizer::special_at(const SpecialTokens& tokens, std::string_view text, int64_t p,
                                                     int64_t from) const {
  const char *begin = text.data(), *end = begin + text.size();
  int64_t length = 0;
  const int32_t id = tokens.match(begin + p, end, length);
  if (id < 0) return std::nullopt;
  Span span{p, p + length, id};
  for (const auto& [of, edges] : edges_) {
    if (of != id) continue;
    if ((edges & stands_alone) && (ends_word(begin, begin + p) || begins_word(begin + span.end, end)))
      return std::nullopt;
    if (edges & takes_left) span.begin = std::max(from, spaces_before(begin, begin + p) - begin);
    if (edges & takes_right) span.end = spaces_behind(begin + span.end, end) - begin;
  }
  return span;
}

const SpecialTokens& Tokenizer::tokens(Which which) const {
  return which == Which::user_defined ? user_defined_ : which == Which::control ? control_ : all_special_;
}

std::vector<Tokenizer::Span> Tokenizer::spans(std::string_view text, Which which, bool edges) const {
  const SpecialTokens& special = tokens(which);
  std::vector<Span> spans;
  int64_t from = 0;
  for (int64_t p = 0; p < static_cast<int64_t>(text.size());) {
    const std::optional<Span> found = special_at(special, text, p, from);
    if (!found) {
      ++p;
      continue;
    }
    int64_t length = 0;
    special.match(text.data() + p, text.data() + text.size(), length);
    spans.push_back(edges ? *found : Span{p, p + length, found->id});
    p = from = spans.back().end;
  }
  return spans;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special, bool starts, Poll& poll) const {
  // Offsets are 32 bits, and a space may grow to the three bytes of "▁".
  if (text.size() > std::numeric_limits<int32_t>::max() / 4)
    throw std::invalid_argument("text of " + std::to_string(text.size()) + " bytes; at most 536870911 can be encoded");
  check_utf8(text);
  const SpecialTokens& special = tokens(parse_special ? Which::all : Which::user_defined);
  std::vector<int32_t> ids;
  starts = starts || restarts_;
  int64_t plain = 0;
  const int64_t size = static_cast<int64_t>(text.size());
  const auto flush = [&](int64_t end) {
    if (plain == end) return;
    encode_plain(text.substr(static_cast<size_t>(plain), static_cast<size_t>(end - plain)), starts, ids, poll);
    starts = false;
  };
  for (int64_t p = 0; p < size;) {
    const std::optional<Span> found = special_at(special, text, p, plain);
    if (!found) {
      ++p;
      continue;
    }
    flush(found->begin);
    ids.push_back(found->id);
    starts = restarts_;
    p = plain = found->end;
    if ((ids.size() & 0xFFFF) == 0) poll();
  }
  flush(size);
  return ids;
}

} // namespace nextoken::tokenizer
