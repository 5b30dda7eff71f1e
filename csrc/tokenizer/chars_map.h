// What SentencePiece makes of characters before it spells them: the precompiled map that its models carry.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nextoken::tokenizer {

/// A double array (Aoe 1989, in the layout of Darts-clone) from texts to texts. Immutable; several threads may use it.
class CharsMap {
 public:
  /// `blob`: bytes of the array, 32 bits; the array; the texts, each with a zero behind it. Throws TokenizerError if it
  /// is cut short, has keys of more than `most_key_bytes` or none, or leads to what is no text.
  explicit CharsMap(std::string_view blob);

  enum class Match {
    longest,  // of the texts that begin at each place, as SentencePiece and llama.cpp do
    clusters, // of what people see as one character if it is short, else of characters, as tokenizers does
  };
  std::string apply(std::string_view utf8, Match match) const;

  static constexpr int most_key_bytes = 64;

 private:
  struct Found {
    int64_t length; // 0: nothing
    std::string_view text;
  };
  /// The longest key that `text` begins with, or the shortest.
  Found find(std::string_view text, bool longest) const;
  std::string_view text_at(uint32_t offset) const;
  void check() const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

} // namespace nextoken::tokenizer
