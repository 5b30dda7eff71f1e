#include "tokenizer/merges.h"

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

} // namespace nextoken::tokenizer
