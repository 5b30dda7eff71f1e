// Byte pair encoding: neighbours are joined, best merge first, until none is left.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/poll.h"
#include "tokenizer/vocabulary.h"

namespace nextoken::tokenizer {

/// A piece of the text while it grows. Indices are places in the vector of symbols; -1 is none.
struct Symbol {
  int32_t previous, next;
  int32_t start, size; // bytes; size 0: joined to the symbol on its left
  int32_t id;          // token, or -1 for text that is none
};

/// What joining two neighbours would give: lower `order` goes first, `id` -1 means they do not join.
struct Merge {
  uint32_t order = 0;
  int32_t id = -1;
};

/// A merge that was possible when it was queued; it still is if both symbols have kept their sizes.
struct Candidate {
  uint32_t order;
  int32_t left, size, id;
  bool operator>(const Candidate& other) const {
    return order != other.order ? order > other.order : left > other.left;
  }
};

/// For words: a binary heap.
class HeapQueue {
 public:
  bool empty() const { return heap_.empty(); }
  void push(const Candidate& c) {
    heap_.push_back(c);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<Candidate>());
  }
  Candidate pop() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<Candidate>());
    const Candidate c = heap_.back();
    heap_.pop_back();
    return c;
  }

 private:
  std::vector<Candidate> heap_;
};

/// For long runs without a boundary (ten million times the same letter): one line per order. Candidates come mostly
/// from left to right, so they are appended and read once; those that come late wait in a small heap beside the line.
class LineQueue {
 public:
  bool empty() const { return orders_.empty(); }
  void push(const Candidate& c) {
    Line& line = lines_[c.order];
    if (!line.open) {
      line.open = true;
      orders_.push(c.order);
    }
    if (line.candidates.empty() || !(line.candidates.back() > c))
      line.candidates.push_back(c);
    else
      line.late.push(c);
  }
  Candidate pop() {
    Line& line = lines_[orders_.top()];
    const bool waiting = line.read < line.candidates.size();
    Candidate c;
    if (waiting && (line.late.empty() || line.late.top() > line.candidates[line.read])) {
      c = line.candidates[line.read++];
    } else {
      c = line.late.top();
      line.late.pop();
    }
    if (line.read == line.candidates.size() && line.late.empty()) {
      orders_.pop();
      lines_.erase(c.order);
    }
    return c;
  }

 private:
  struct Line {
    std::vector<Candidate> candidates;
    size_t read = 0;
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<Candidate>> late;
    bool open = false;
  };
  std::unordered_map<uint32_t, Line> lines_;
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<uint32_t>> orders_;
};

/// Joins symbols until no two neighbours merge; of equal orders the leftmost goes first, as in SentencePiece.
/// `merge_of(left, right)` says what two symbols give.
template <typename Queue, typename MergeOf>
void merge_all(std::vector<Symbol>& symbols, Queue& queue, MergeOf&& merge_of, Poll& poll) {
  const auto consider = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const Merge merge = merge_of(symbols[left], symbols[right]);
    if (merge.id >= 0) queue.push({merge.order, left, symbols[left].size + symbols[right].size, merge.id});
  };
  int64_t steps = 0;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    if ((++steps & 0xFFFF) == 0) poll();
    consider(static_cast<int32_t>(i), static_cast<int32_t>(i + 1));
  }
  while (!queue.empty()) {
    if ((++steps & 0xFFFF) == 0) poll();
    const Candidate c = queue.pop();
    Symbol& left = symbols[c.left];
    if (left.size == 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    if (left.size + right.size != c.size) continue;
    left.size = c.size;
    left.id = c.id;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].previous = c.left;
    consider(left.previous, c.left);
    consider(c.left, left.next);
  }
}

/// The merges of a byte-level vocabulary by rank, found by their pairs of ids through a flat hash table of ranks.
class MergeTable {
 public:
  struct Pair {
    int32_t left, right, id;
  };

  explicit MergeTable(size_t n_merges);
  /// The merge of the next rank; false if the pair is there already.
  bool add(int32_t left, int32_t right, int32_t id);
  Merge find(int32_t left, int32_t right) const {
    const uint32_t rank = ranks_[slot_of(left, right)];
    return rank == FREE ? Merge{} : Merge{rank, pairs_[rank].id};
  }
  const std::vector<Pair>& pairs() const { return pairs_; }

 private:
  static constexpr uint32_t FREE = ~uint32_t{0};

  /// Where the pair stands, or the free slot where it would.
  size_t slot_of(int32_t left, int32_t right) const {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    const size_t mask = ranks_.size() - 1;
    size_t slot = (key * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (ranks_[slot] != FREE && (pairs_[ranks_[slot]].left != left || pairs_[ranks_[slot]].right != right))
      slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<uint32_t> ranks_; // at most half full
  std::vector<Pair> pairs_;
};

/// Of `merges` spelt "left right" in order of rank; control tokens come of none. Throws TokenizerError for a merge that
/// is malformed, repeated, or names a token that is not there.
MergeTable read_merges(const Vocabulary& vocabulary, const std::vector<std::string_view>& merges);

} // namespace nextoken::tokenizer
