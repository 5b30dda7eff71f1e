#include "tokenizer/merges.h"

#include <string>

#include "base/errors.h"

namespace nextoken::tokenizer {

MergeTable::MergeTable(int64_t n_merges) {
  size_t n_slots = 16;
  while (n_slots < 2 * static_cast<size_t>(n_merges)) n_slots *= 2;
  slots_.resize(n_slots);
}

bool MergeTable::add(int32_t left, int32_t right, uint32_t rank, int32_t id) {
  const uint64_t pair = key(left, right);
  size_t slot = first_slot(pair);
  for (; slots_[slot].pair != free; slot = (slot + 1) & (slots_.size() - 1))
    if (slots_[slot].pair == pair) return false;
  slots_[slot] = {pair, rank, id};
  ++n_merges_;
  return true;
}

std::vector<std::pair<int32_t, int32_t>> MergeTable::pairs() const {
  std::vector<Slot> used;
  used.reserve(n_merges_);
  for (const Slot& slot : slots_)
    if (slot.pair != free) used.push_back(slot);
  std::sort(used.begin(), used.end(), [](const Slot& a, const Slot& b) { return a.rank < b.rank; });
  std::vector<std::pair<int32_t, int32_t>> pairs;
  pairs.reserve(used.size());
  for (const Slot& slot : used)
    pairs.emplace_back(static_cast<int32_t>(slot.pair >> 32), static_cast<int32_t>(slot.pair & 0xFFFFFFFF));
  return pairs;
}

MergeTable read_merges(const Vocabulary& vocabulary, const std::vector<std::string_view>& merges) {
  MergeTable table(static_cast<int64_t>(merges.size()));
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
    if (!table.add(left_id, right_id, static_cast<uint32_t>(rank), text ? id : -1)) fail("is there twice");
  }
  return table;
}

} // namespace nextoken::tokenizer
