#include "tokenizer/tokenizer.h"

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

std::vector<Tokenizer::Span> Tokenizer::control_spans(std::string_view text) const {
  std::vector<Span> spans;
  const char *begin = text.data(), *end = begin + text.size();
  for (const char* p = begin; p < end;) {
    int64_t length = 0;
    const int32_t id = control_.match(p, end, length);
    if (id < 0) {
      ++p;
      continue;
    }
    spans.push_back({p - begin, p - begin + length, id});
    p += length;
  }
  return spans;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special, Poll& poll) const {
  // Offsets are 32 bits, and a space may grow to the three bytes of "▁".
  if (text.size() > std::numeric_limits<int32_t>::max() / 4)
    throw std::invalid_argument("text of " + std::to_string(text.size()) + " bytes; at most 536870911 can be encoded");
  check_utf8(text);
  const SpecialTokens& special = parse_special ? all_special_ : user_defined_;
  std::vector<int32_t> ids;
  bool starts = true;
  const char *p = text.data(), *end = p + text.size(), *plain = p;
  const auto flush = [&] {
    if (plain == p) return;
    encode_plain({plain, static_cast<size_t>(p - plain)}, starts, ids, poll);
    starts = false;
  };
  while (p < end) {
    int64_t length = 0;
    const int32_t id = special.match(p, end, length);
    if (id < 0) {
      ++p;
      continue;
    }
    flush();
    ids.push_back(id);
    starts = restarts_;
    p += length;
    plain = p;
    if ((ids.size() & 0xFFFF) == 0) poll();
  }
  flush();
  return ids;
}

} // namespace nextoken::tokenizer
