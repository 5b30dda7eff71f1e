#include "tokenizer/pattern.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <tuple>

namespace nextoken::tokenizer {
namespace {

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

/// Reads one regex into sets and repeats.
class Parser {
 public:
  explicit Parser(const std::string& regex) : regex_(regex), p_(regex.data()), end_(p_ + regex.size()) {}

  bool done() const { return p_ == end_; }

  bool take(const char* text) {
    const std::string expected(text);
    if (end_ - p_ < static_cast<ptrdiff_t>(expected.size()) || expected.compare(0, expected.npos, p_, expected.size()))
      return false;
    p_ += expected.size();
    return true;
  }

  CharSet set() {
    CharSet s;
    if (!take("[")) {
      add_item(s);
      return s;
    }
    const bool negated = take("^");
    do {
      if (!take("--")) {
        add_item(s);
        continue;
      }
      const CharSet without = set();
      if (without.negated || without.categories || without.letters || without.spaces || without.non_spaces ||
          !without.ranges.empty())
        fail("a difference beyond ASCII");
      s.ascii &= ~without.ascii;
    } while (!take("]"));
    if (negated) s.ascii.flip();
    s.negated = negated;
    return s;
  }

  std::pair<int64_t, int64_t> repeat() {
    if (take("?")) return {0, 1};
    if (take("*")) return {0, unlimited};
    if (take("+")) return {1, unlimited};
    if (!take("{")) return {1, 1};
    const int64_t least = number();
    int64_t most = least;
    if (take(",")) most = !done() && *p_ == '}' ? unlimited : number();
    if (!take("}") || most < least) fail("a repeat that does not end");
    return {least, most};
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("pre-tokenizer pattern '" + regex_ + "': " + what + " at byte " +
                                std::to_string(p_ - regex_.data()));
  }

 private:
  int64_t number() {
    int64_t n = 0, digits = 0;
    for (; !done() && *p_ >= '0' && *p_ <= '9' && digits < 6; ++digits) n = n * 10 + (*p_++ - '0');
    if (digits == 0) fail("a number is missing");
    return n;
  }

  void add_item(CharSet& s) {
    if (done()) fail("an unfinished pattern");
    if (take("\\s")) return add_spaces(s);
    if (take("\\S")) return add_non_spaces(s);
    if (take("\\p{")) return add_category(s);
    const uint32_t first = literal();
    uint32_t last = first;
    if (end_ - p_ >= 2 && *p_ == '-' && p_[1] != ']') {
      ++p_;
      last = literal();
      if (last < first) fail("a range that runs backwards");
    }
    for (uint32_t c = first; c <= last && c < 128; ++c) s.ascii.set(c);
    if (last >= 128) s.ranges.emplace_back(std::max<uint32_t>(first, 128), last);
  }

  uint32_t literal() {
    if (done()) fail("an unfinished pattern");
    if (take("\\r")) return '\r';
    if (take("\\n")) return '\n';
    if (take("\\t")) return '\t';
    if (take("\\")) {
      if (done() || (*p_ >= '0' && *p_ <= '9') || (*p_ >= 'A' && *p_ <= 'Z') || (*p_ >= 'a' && *p_ <= 'z'))
        fail("an escape that is not understood");
    } else if (*p_ == '(' || *p_ == ')' || *p_ == '*' || *p_ == '+' || *p_ == '?' || *p_ == '.' || *p_ == '$') {
      fail("syntax that is not understood");
    }
    return next_code_point(p_, end_);
  }

  template <typename Member>
  void add_ascii(CharSet& s, Member member) {
    for (uint32_t c = 0; c < 128; ++c)
      if (member(c)) s.ascii.set(c);
  }

  void add_spaces(CharSet& s) {
    s.spaces = true;
    add_ascii(s, [](uint32_t c) { return is_space(c); });
  }

  void add_non_spaces(CharSet& s) {
    s.non_spaces = true;
    add_ascii(s, [](uint32_t c) { return !is_space(c); });
  }

  void add_category(CharSet& s) {
    static const std::string letters = "LNZMPSC"; // the order of Category
    const size_t index = done() ? letters.npos : letters.find(*p_);
    if (index == letters.npos) fail("a category that is not understood");
    ++p_;
    if (index == 0 && !done() && *p_ != '}') return add_letters(s);
    if (!take("}")) fail("a category that is not understood");
    const auto wanted = static_cast<Category>(index);
    s.categories |= static_cast<uint8_t>(1u << index);
    add_ascii(s, [&](uint32_t c) { return category(c) == wanted; });
  }

  void add_letters(CharSet& s) {
    static const std::string kinds = "ultmo"; // the order of Letter
    const size_t index = kinds.find(*p_++);
    if (index == kinds.npos || !take("}")) fail("a category that is not understood");
    const auto wanted = static_cast<Letter>(index);
    s.letters |= static_cast<uint8_t>(1u << index);
    add_ascii(s, [&](uint32_t c) { return letter(c) == wanted; });
  }

  const std::string& regex_;
  const char *p_, *end_;
};

} // namespace

bool CharSet::contains(uint32_t c) const {
  if (c < 128) return ascii[c];
  bool in = categories != 0 && (categories >> static_cast<int>(category(c)) & 1);
  if (letters != 0) in |= (letters >> static_cast<int>(letter(c)) & 1) != 0;
  in = in || ((spaces || non_spaces) && (is_space(c) ? spaces : non_spaces));
  for (size_t i = 0; !in && i < ranges.size(); ++i) in = ranges[i].first <= c && c <= ranges[i].second;
  return in != negated;
}

Pattern::Pattern(const std::string& regex) {
  Parser parser(regex);
  alternatives_.emplace_back();
  while (!parser.done()) {
    Sequence& sequence = alternatives_.back();
    if (!at_end_ && parser.take("|")) {
      alternatives_.emplace_back();
    } else if (at_end_) {
      parser.fail("something behind the end of the text");
    } else if (parser.take("$")) {
      at_end_ = alternatives_.size() == 1 && sequence.steps.size() == 1 && sequence.steps[0].least == 1 &&
                sequence.steps[0].most == unlimited;
      if (!at_end_) parser.fail("an end of the text that is not behind one set and +");
    } else if (sequence.not_before_text) {
      parser.fail("a look-ahead that is not at the end");
    } else if (parser.take("(?!\\S)")) {
      sequence.not_before_text = true;
    } else {
      Step step;
      step.set = parser.set();
      std::tie(step.least, step.most) = parser.repeat();
      sequence.steps.push_back(std::move(step));
    }
  }
  for (const Sequence& sequence : alternatives_)
    if (sequence.steps.empty()) parser.fail("an empty alternative");
}

const char* Pattern::run(const Sequence& sequence, size_t index, const char* p, const char* end) {
  if (index == sequence.steps.size()) {
    if (!sequence.not_before_text || p == end) return p;
    const char* ahead = p;
    return is_space(next_code_point(ahead, end)) ? p : nullptr;
  }
  const Step& step = sequence.steps[index];
  int64_t n = 0;
  while (n < step.most && p < end) {
    const char* next = p;
    if (!step.set.contains(next_code_point(next, end))) break;
    p = next;
    ++n;
  }
  for (; n >= step.least; --n) {
    if (const char* matched = run(sequence, index + 1, p, end)) return matched;
    if (n == 0) break;
    do --p; // one character back
    while ((static_cast<unsigned char>(*p) & 0xC0) == 0x80);
  }
  return nullptr;
}

const char* Pattern::tail(const char* begin, const char* end) const {
  const char* tail = end;
  while (tail > begin) {
    const char* p = tail;
    do --p; // one character back
    while (p > begin && (static_cast<unsigned char>(*p) & 0xC0) == 0x80);
    const char* next = p;
    if (!alternatives_[0].steps[0].set.contains(next_code_point(next, end))) break;
    tail = p;
  }
  return tail;
}

int64_t Pattern::match(const char* p, const char* end) const {
  if (at_end_) return tail(p, end) == p ? end - p : 0;
  for (const Sequence& sequence : alternatives_)
    if (const char* matched = run(sequence, 0, p, end)) return matched - p;
  return 0;
}

} // namespace nextoken::tokenizer
