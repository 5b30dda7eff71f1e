// SentencePiece BPE with byte fallback.
#include <cmath>
#include <cstring>

#include "base/errors.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {
namespace {

/// Higher scores first, as an unsigned number that grows; +0 and -0 are equal.
uint32_t order_of(float score) {
  score += 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &score, 4);
  return bits >> 31 ? bits : 0x7FFFFFFF - bits;
}

} // namespace

SentencePieceTokenizer::SentencePieceTokenizer(Vocabulary vocabulary, std::vector<float> scores, SpacePrefix prefix,
                                               int32_t unknown)
    : SpaceMarkTokenizer(std::move(vocabulary), prefix, unknown), scores_(std::move(scores)) {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (!std::isfinite(scores_[id]))
      throw TokenizerError("tokenizer.ggml.scores[" + std::to_string(id) + "] is not a finite number");
  }
  find_joints();
}

SentencePieceTokenizer::SentencePieceTokenizer(Vocabulary vocabulary, const std::vector<std::string_view>& merges,
                                               SpacePrefix prefix, int32_t unknown)
    : SpaceMarkTokenizer(std::move(vocabulary), prefix, unknown), merges_(read_merges(vocabulary_, merges)) {
  find_joints();
}

void SentencePieceTokenizer::find_joints() {
  joins_space_.fill(false);
  const std::string_view all = vocabulary_.all(); // where two tokens meet may add a false alarm, which is harmless
  for (size_t at = all.find(space_mark, 1); at != all.npos; at = all.find(space_mark, at + 1)) {
    joins_space_[static_cast<unsigned char>(all[at - 1])] = true;
  }
}

void SentencePieceTokenizer::encode_plain(std::string_view text, bool starts, std::vector<int32_t>& ids,
                                          Poll& poll) const {
  const std::string marked = this->marked(text, starts);
  // No token holds what is before and after such a "▁", so no merge crosses it and the parts are independent.
  std::vector<Symbol> symbols;
  HeapQueue queue;
  size_t from = 0;
  for (size_t at = marked.find(space_mark, 1); at != marked.npos;
       at = marked.find(space_mark, at + space_mark.size())) {
    if (joins_space_[static_cast<unsigned char>(marked[at - 1])]) continue;
    encode_segment(std::string_view(marked).substr(from, at - from), symbols, queue, ids, poll);
    from = at;
  }
  encode_segment(std::string_view(marked).substr(from), symbols, queue, ids, poll);
}

void SentencePieceTokenizer::encode_segment(std::string_view text, std::vector<Symbol>& symbols, HeapQueue& queue,
                                            std::vector<int32_t>& ids, Poll& poll) const {
  symbols.clear();
  const auto length = static_cast<int32_t>(text.size());
  for (int32_t start = 0; start < length;) {
    const auto n = static_cast<int32_t>(symbols.size());
    const int32_t size = utf8_length(static_cast<unsigned char>(text[start]));
    symbols.push_back({n - 1, n + 1, start, size, merges_ ? vocabulary_.find(text.substr(start, size)) : -1});
    start += size;
  }
  symbols.back().next = -1;
  const auto merge_of = [&](const Symbol& left, const Symbol& right) -> Merge {
    if (merges_) return left.id < 0 || right.id < 0 ? Merge{} : merges_->find(left.id, right.id);
    const int32_t id = vocabulary_.find(text.substr(left.start, left.size + right.size));
    if (!ordinary(id)) return {};
    return {order_of(scores_[id]), id};
  };
  if (symbols.size() > 4096) {
    LineQueue lines;
    merge_all(symbols, lines, merge_of, poll);
  } else {
    merge_all(symbols, queue, merge_of, poll);
  }
  for (const Symbol& symbol : symbols)
    if (symbol.size > 0) append(text.substr(symbol.start, symbol.size), symbol.id, ids);
}

void SentencePieceTokenizer::append(std::string_view symbol, int32_t id, std::vector<int32_t>& ids) const {
  if (id < 0) id = vocabulary_.find(symbol);
  if (ordinary(id)) {
    ids.push_back(id);
    return;
  }
  for (const char c : symbol) {
    const int32_t byte = byte_ids_[static_cast<unsigned char>(c)];
    if (byte < 0 && unknown_ < 0) no_token_for(c);
    ids.push_back(byte < 0 ? unknown_ : byte);
  }
}

} // namespace nextoken::tokenizer
