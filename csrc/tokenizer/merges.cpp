#include "tokenizer/merges.h"

#include <string>

#include "base/errors.h"

namespace nextoken::tokenizer {

MergeTable::MergeTable(size_t n_merges) {
  size_t n_slots = 16;
  while (n_slots < 2 * n_merges) n_slots *= 2;
  ranks_.assign(n_slots, FREE);
  pairs_.reserve(n_merges);
}

bool MergeTable::add(int32_t left, int32_t right, int32_t id) {
  uint32_t& rank = ranks_[slot_of(left, right)];
  if (rank != FREE) return false;
  rank = static_cast<uint32_t>(pairs_.size());
  pairs_.push_back({left, right, id});
  return true;
}

MergeTable read_merges(const Vocabulary& vocabulary, const std::vector<std::string_view>& merges) {
  MergeTable table(merges.size());
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const auto fail = [&](const char* what) {
      throw TokenizerError("tokenizer.ggml.merges[" + std::to_string(rank) + "] '" + std::string(merge.substr(0, 64)) +
                           (merge.size() > 64 ? "...' " : "' ") + what);
    };
    const size_t space = merge.find(' ');
    if (space == merge.npos || space == 0 || space + 1 == merge.size() || merge.find(' ', space + 1) != merge.npos)
      fail("is not two tokens with a space between");
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    joined.assign(left).append(right);
    const int32_t left_id = vocabulary.find(left), right_id = vocabulary.find(right), id = vocabulary.find(joined);
    if (left_id < 0 || right_id < 0 || id < 0) fail("names a token that is not in tokenizer.ggml.tokens");
    const TokenKind kind = vocabulary.kind(id);
    const bool text = kind != TokenKind::control && kind != TokenKind::unknown;
    if (!table.add(left_id, right_id, text ? id : -1)) fail("is there twice");
  }
  return table;
}

} // namespace nextoken::tokenizer
