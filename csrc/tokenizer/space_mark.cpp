// What the vocabularies of SentencePiece share: "▁" for spaces, and tokens of single bytes.
#include "base/errors.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// The byte of "<0x41>", or -1 for any other text.
int byte_of(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const int high = hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

} // namespace

SpaceMarkTokenizer::SpaceMarkTokenizer(Vocabulary vocabulary, SpacePrefix prefix, int32_t unknown)
    : Tokenizer(std::move(vocabulary)), prefix_(prefix), unknown_(unknown) {
  restarts_ = prefix_ != SpacePrefix::text_unless_it;
  byte_ids_.fill(-1);
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_.kind(id) != TokenKind::byte) continue;
    const int b = byte_of(vocabulary_.text(id));
    if (b < 0)
      throw TokenizerError("tokenizer.ggml.tokens[" + std::to_string(id) + "] '" +
                           std::string(vocabulary_.text(id).substr(0, 64)) +
                           "' is a byte token but not of the form <0x41>");
    if (byte_ids_[b] < 0) byte_ids_[b] = id;
  }
}

std::string SpaceMarkTokenizer::bytes(int32_t id) const {
  const std::string_view text = vocabulary_.text(id);
  const TokenKind kind = vocabulary_.kind(id);
  if (kind == TokenKind::byte) return std::string(1, static_cast<char>(byte_of(text)));
  if (kind != TokenKind::normal && kind != TokenKind::unused && kind != TokenKind::undefined) return std::string(text);
  std::string bytes;
  size_t from = 0;
  for (size_t at = text.find(space_mark); at != text.npos; at = text.find(space_mark, from)) {
    bytes.append(text.substr(from, at - from)).push_back(' ');
    from = at + space_mark.size();
  }
  return bytes.append(text.substr(from));
}

std::string SpaceMarkTokenizer::marked(std::string_view text, bool starts) const {
  const auto begins_marked = [&](std::string_view part) { return part.substr(0, space_mark.size()) == space_mark; };
  std::string marked;
  marked.reserve(text.size() + text.size() / 2 + space_mark.size());
  if (prefix_ == SpacePrefix::every_word) {
    const char *p = text.data(), *end = p + text.size();
    for (bool in_word = false; p < end;) {
      const char* begin = p;
      const bool space = is_space(next_code_point(p, end));
      if (!space && !in_word && !begins_marked({begin, static_cast<size_t>(end - begin)})) marked.append(space_mark);
      if (!space) marked.append(begin, p);
      in_word = !space;
    }
    return marked;
  }
  const bool spaced = !text.empty() && (text[0] == ' ' || begins_marked(text));
  const bool unless_it = prefix_ == SpacePrefix::every_start_unless_it || prefix_ == SpacePrefix::text_unless_it;
  if (starts && prefix_ != SpacePrefix::none && !(unless_it && spaced)) marked.append(space_mark);
  for (const char c : text) {
    if (c == ' ')
      marked.append(space_mark);
    else
      marked.push_back(c);
  }
  return marked;
}

void SpaceMarkTokenizer::no_token_for(char byte) const {
  throw TokenizerError("the vocabulary has no token for byte " + std::to_string(static_cast<unsigned char>(byte)) +
                       " and no unknown token");
}

} // namespace nextoken::tokenizer
