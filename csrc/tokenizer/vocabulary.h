// The tokens of a model: text, kind and score by id, and id by text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nextoken::tokenizer {

/// The numbers are those of `tokenizer.ggml.token_type`.
enum class TokenKind : uint8_t { undefined, normal, unknown, control, user_defined, unused, byte };

/// Texts live in one block of memory and the index is a flat table of ids: 262,144 tokens take about 6 MB.
class Vocabulary {
 public:
  /// Room for `n_tokens` of `n_bytes` altogether; add() must then be called n_tokens times.
  Vocabulary(int64_t n_tokens, int64_t n_bytes);
  void add(std::string_view text, TokenKind kind);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  std::string_view text(int32_t id) const {
    return {text_.data() + starts_[id], static_cast<size_t>(starts_[id + 1] - starts_[id])};
  }
  TokenKind kind(int32_t id) const { return static_cast<TokenKind>(kinds_[id]); }
  void set_kind(int32_t id, TokenKind kind) { kinds_[id] = static_cast<uint8_t>(kind); }

  /// The lowest id with this text, or -1. The empty text has none.
  int32_t find(std::string_view text) const;

  /// All texts, one after the other.
  std::string_view all() const { return text_; }

 private:
  std::string text_;
  std::vector<int64_t> starts_;
  std::vector<uint8_t> kinds_;
  std::vector<int32_t> slots_; // open addressing, at most half full; -1 is free
};

} // namespace nextoken::tokenizer
