// Finds the tokens that are matched in text as a whole, before anything else looks at it.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace nextoken::tokenizer {

/// A trie over a set of token texts. Immutable once built; several threads may search.
class SpecialTokens {
 public:
  SpecialTokens() { roots_.fill(-1); }
  void add(std::string_view text, int32_t id);

  /// The longest token that starts at `p`: its id, and its length in `length`; -1 if none does.
  int32_t match(const char* p, const char* end, int64_t& length) const;

  /// Whether some token starts with all of `text` and goes on.
  bool continues(std::string_view text) const;

 private:
  struct Node {
    unsigned char byte;
    int32_t id, child, sibling; // -1: none
  };
  std::array<int32_t, 256> roots_;
  std::vector<Node> nodes_;
};

} // namespace nextoken::tokenizer
