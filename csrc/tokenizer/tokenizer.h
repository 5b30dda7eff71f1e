// Text to token ids and back, for the kinds of vocabulary that models carry.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/poll.h"
#include "tokenizer/merges.h"
#include "tokenizer/pattern.h"
#include "tokenizer/special_tokens.h"
#include "tokenizer/vocabulary.h"

namespace nextoken::tokenizer {

/// Immutable once built: any number of threads may encode and decode at once.
///
/// Two ways to look for special tokens are built in, not switched: with `parse_special` every control, unknown and
/// user-defined token that is spelt in the text is matched first, without it the user-defined ones only, and no text
/// whatever becomes a control token. The longest match at the leftmost place wins.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of valid UTF-8. Throws std::invalid_argument if it is not, or is larger than 2 GiB; TokenizerError for a byte
  /// that the vocabulary can not spell and that has no unknown token to stand for it. `starts`: nothing stands before.
  std::vector<int32_t> encode(std::string_view text, bool parse_special, bool starts, Poll& poll) const;

  /// A token spelt in the text: bytes [begin, end).
  struct Span {
    int64_t begin, end;
    int32_t id;
  };
  /// Which special tokens are looked for.
  enum class Which { user_defined, control, all };

  /// Where special tokens are spelt. With `edges`, white space that such a token takes along is in its span.
  std::vector<Span> spans(std::string_view text, Which which, bool edges) const;

  /// What a special token asks of the text beside it, bits: it takes white space on its left or right along, or is none
  /// within a word. To be said before anything is encoded.
  enum Edge : uint8_t { takes_left = 1, takes_right = 2, stands_alone = 4 };
  void set_edges(int32_t id, uint8_t edges);

  /// Whether `text` could be the beginning of a control or unknown token.
  bool begins_control(std::string_view text) const { return control_.continues(text); }

  /// The bytes a token stands for; those of a control token are its name.
  virtual std::string bytes(int32_t id) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit Tokenizer(Vocabulary vocabulary);

  /// Appends the ids of text without special tokens in it. `starts`: it is the first, or follows a special token.
  virtual void encode_plain(std::string_view text, bool starts, std::vector<int32_t>& ids, Poll& poll) const = 0;

  /// Whether ordinary text may turn into this token.
  bool ordinary(int32_t id) const {
    return id >= 0 && vocabulary_.kind(id) != TokenKind::control && vocabulary_.kind(id) != TokenKind::unknown;
  }

  Vocabulary vocabulary_;
  bool restarts_ = true; // text after a special token `starts`

 private:
  const SpecialTokens& tokens(Which which) const;
  /// The special token that starts at `p` and what it takes along, not before `from`.
  std::optional<Span> special_at(const SpecialTokens& tokens, std::string_view text, int64_t p, int64_t from) const;

  SpecialTokens user_defined_, control_, all_special_;
  std::vector<std::pair<int32_t, uint8_t>> edges_; // few
};

/// Byte-level BPE (GPT-2 and after): patterns cut the text into words, merges of bytes build the tokens of each.
/// Token texts spell bytes as printable characters ("Ġ" is a space). A byte without a token is left out, as in the
/// tokenizers such vocabularies come from; missing_bytes() says which.
class ByteLevelTokenizer : public Tokenizer {
 public:
  /// `merges` are "left right" in order of rank. `whole_words`: a word that is a token is not merged. Throws
  /// TokenizerError for a merge that is malformed, repeated, or names a token that is not there.
  ByteLevelTokenizer(Vocabulary vocabulary, const std::vector<std::string_view>& merges, std::vector<Pattern> words,
                     bool whole_words);

  std::string bytes(int32_t id) const override;
  std::vector<int> missing_bytes() const;
  const MergeTable& merges() const { return merges_; }

 private:
  void encode_plain(std::string_view text, bool starts, std::vector<int32_t>& ids, Poll& poll) const override;

  MergeTable merges_;
  std::vector<Pattern> words_;
  std::array<int32_t, 256> byte_ids_;
  bool whole_words_;
};

/// Where a space is put before the text.
enum class SpacePrefix : uint8_t {
  none,
  every_start,           // before the first text and after special tokens
  every_start_unless_it, // the same, unless a space is there
  text_unless_it,        // before the first text only, unless a space is there
  every_word,            // before each word, unless "▁" is there; white space between words is left out
};

/// What the vocabularies of SentencePiece share: spaces become "▁", and a byte may have a token of its own, <0xHH>.
class SpaceMarkTokenizer : public Tokenizer {
 public:
  std::string bytes(int32_t id) const override;

 protected:
  /// `unknown` stands for what has no token, -1 for an error. Throws TokenizerError for a byte token not spelt <0xHH>.
  SpaceMarkTokenizer(Vocabulary vocabulary, SpacePrefix prefix, int32_t unknown);

  /// The text with "▁" for spaces, and before it or its words as `prefix` says.
  std::string marked(std::string_view text, bool starts) const;
  [[noreturn]] void no_token_for(char byte) const;

  static constexpr std::string_view space_mark = "\xE2\x96\x81"; // U+2581
  SpacePrefix prefix_;
  int32_t unknown_;
  std::array<int32_t, 256> byte_ids_;
};

/// SentencePiece BPE with byte fallback: the best-scored token that two neighbours spell together is merged first. No
/// list of merges is needed, the vocabulary itself says what joins; tokenizer.json files have one all the same, and
/// then its order counts, which differs where overlapping pairs spell one token.
class SentencePieceTokenizer : public SpaceMarkTokenizer {
 public:
  /// `scores` has one entry a token, finite. Throws TokenizerError for a byte token that is not spelt <0xHH>.
  SentencePieceTokenizer(Vocabulary vocabulary, std::vector<float> scores, SpacePrefix prefix, int32_t unknown);
  /// With `merges`, "left right" in order of rank, instead of scores. Throws as ByteLevelTokenizer does, too.
  SentencePieceTokenizer(Vocabulary vocabulary, const std::vector<std::string_view>& merges, SpacePrefix prefix,
                         int32_t unknown);

  const std::vector<float>& scores() const { return scores_; }
  const MergeTable* merges() const { return merges_ ? &*merges_ : nullptr; }

 private:
  void encode_plain(std::string_view text, bool starts, std::vector<int32_t>& ids, Poll& poll) const override;
  void encode_segment(std::string_view text, std::vector<Symbol>& symbols, HeapQueue& queue, std::vector<int32_t>& ids,
                      Poll& poll) const;
  void append(std::string_view symbol, int32_t id, std::vector<int32_t>& ids) const;
  void find_joints();
  std::vector<float> scores_;
  std::optional<MergeTable> merges_;
  std::array<bool, 256> joins_space_; // by last byte of a character: some token has it before a "▁"
};

} // namespace nextoken::tokenizer
