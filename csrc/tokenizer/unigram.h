// SentencePiece's other model: the most likely of all ways to spell a text.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace nextoken::tokenizer {

/// Unigram: each token has a score, the logarithm of its probability, and the tokens with the best sum are taken
/// (Viterbi). A character that is no token costs ten more than the worst of them; a run of such becomes the bytes it is
/// made of, where all of them have tokens, or one unknown token. Kudo 2018, arXiv:1804.10959.
class UnigramTokenizer : public SpaceMarkTokenizer {
 public:
  /// As in the library whose ids are wanted: SentencePiece sums floats over the whole text, llama.cpp doubles, and
  /// tokenizers doubles over a word at a time.
  enum class Sums : uint8_t { floats, doubles, doubles_by_word };

  /// `scores` has one entry a token. Throws TokenizerError if one is not finite, for a token of more than
  /// `most_token_bytes`, and as SpaceMarkTokenizer does.
  UnigramTokenizer(Vocabulary vocabulary, std::vector<double> scores, SpacePrefix prefix, int32_t unknown, Sums sums);

  const std::vector<double>& scores() const { return scores_; }

  static constexpr int64_t most_token_bytes = 1024; // what a character of text may cost is in proportion to it

 private:
  /// Where some path ends: the best sum, and the last token of that path.
  struct Node {
    double sum;
    int64_t start; // of the token; -1: no path ends here
    int32_t id;    // -1: a character without a token
  };
  void encode_plain(std::string_view text, bool starts, std::vector<int32_t>& ids, Poll& poll) const override;
  void encode_piece(std::string_view text, std::vector<Node>& nodes, std::vector<int32_t>& ids, Poll& poll) const;

  /// A token by its text, of which the first eight bytes stand here, so that looking for it seldom leaves the table.
  struct Entry {
    uint64_t beginning;
    int32_t id;
  };
  unsigned char byte_of(const Entry& entry, size_t i) const {
    if (i < 8) return static_cast<unsigned char>(entry.beginning >> (56 - 8 * i));
    return static_cast<unsigned char>(vocabulary_.text(entry.id)[i]);
  }

  /// Calls visit(id, length) for each token that `text` begins with, shortest first.
  template <typename Visit>
  void each_prefix(std::string_view text, Visit visit) const;

  std::vector<double> scores_;
  double unknown_score_ = 0;
  Sums sums_;
  bool spells_bytes_;
  std::vector<Entry> order_;       // by text
  std::array<int32_t, 257> first_; // by first byte: where in order_ such texts begin
};

} // namespace nextoken::tokenizer
