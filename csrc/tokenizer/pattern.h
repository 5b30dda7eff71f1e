// The regular expressions that pre-tokenizers are written in, matched without recursion on the text.
#pragma once
#include <bitset>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {

/// A set of code points: \p{L}, [^\s\p{N}], [\r\n], ' ' and the like.
struct CharSet {
  std::bitset<128> ascii;                            // final, negation included
  uint8_t categories = 0;                            // bit per Category, beyond ASCII
  uint8_t letters = 0;                               // bit per Letter, beyond ASCII
  bool spaces = false, non_spaces = false;           // white space, and all but white space, beyond ASCII
  std::vector<std::pair<uint32_t, uint32_t>> ranges; // both ends included, beyond ASCII
  bool negated = false;                              // for what is beyond ASCII

  bool contains(uint32_t c) const;
};

/// A disjunction of sequences of sets, each repeated: the subset of regular expressions that tokenizers use.
///
/// Understood: literals, \r \n \t and escaped punctuation, \s \S \p{L|N|Z|M|P|S|C}, \p{Lu|Ll|Lt|Lm|Lo}, [...] and
/// [^...] with ranges,
/// [...--[...]] without some ASCII characters, ? + * {m} {m,} {m,n} after one of these, | between sequences, (?!\S) at
/// the end of one, and one set with +$ as a whole pattern. Alternatives are tried in order and repeats are greedy, as
/// in every engine of the backtracking family.
class Pattern {
 public:
  /// Throws std::invalid_argument, naming the place, for anything else.
  explicit Pattern(const std::string& regex);

  /// Bytes matched at `p`, or 0; the text is valid UTF-8. Time is linear in the match, times the few steps of a
  /// sequence.
  int64_t match(const char* p, const char* end) const;

  /// Whether it is a set with +$, which matches where `tail` says and nowhere else.
  bool at_end() const { return at_end_; }
  /// Where the run of that set begins that ends at `end`: `end` if there is none.
  const char* tail(const char* begin, const char* end) const;

 private:
  struct Step {
    CharSet set;
    int64_t least = 1, most = 1;
  };
  struct Sequence {
    std::vector<Step> steps;
    bool not_before_text = false; // (?!\S)
  };
  static const char* run(const Sequence& sequence, size_t step, const char* p, const char* end);
  std::vector<Sequence> alternatives_;
  bool at_end_ = false;
};

/// Cuts [begin, end) by each pattern in turn: matches and what lies between them are the pieces, which the next pattern
/// cuts further. Calls `piece(from, to)` in order; the pieces are never empty and joined they are the text.
template <typename Piece>
void split(const Pattern* first, const Pattern* last, const char* begin, const char* end, Piece&& piece) {
  if (first == last) {
    if (begin < end) piece(begin, end);
    return;
  }
  if (first->at_end()) { // a search from each place would take the square of the length
    const char* const tail = first->tail(begin, end);
    if (begin < tail) split(first + 1, last, begin, tail, piece);
    if (tail < end) split(first + 1, last, tail, end, piece);
    return;
  }
  const char* gap = begin;
  for (const char* p = begin; p < end;) {
    const int64_t length = first->match(p, end);
    if (length == 0) {
      next_code_point(p, end);
      continue;
    }
    if (gap < p) split(first + 1, last, gap, p, piece);
    split(first + 1, last, p, p + length, piece);
    p += length;
    gap = p;
  }
  if (gap < end) split(first + 1, last, gap, end, piece);
}

} // namespace nextoken::tokenizer
