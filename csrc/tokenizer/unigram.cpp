#include "tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/errors.h"
#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {
namespace {

constexpr double unknown_penalty = 10;

/// As a number that sorts as they do.
uint64_t first_eight(std::string_view text) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < 8; ++i) bytes = bytes << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0);
  return bytes;
}

} // namespace

UnigramTokenizer::UnigramTokenizer(Vocabulary vocabulary, std::vector<double> scores, SpacePrefix prefix,
                                   int32_t unknown, Sums sums)
    : SpaceMarkTokenizer(std::move(vocabulary), prefix, unknown), scores_(std::move(scores)), sums_(sums) {
  spells_bytes_ = std::all_of(byte_ids_.begin(), byte_ids_.end(), [](int32_t id) { return id >= 0; });
  double worst = std::numeric_limits<double>::infinity();
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (!std::isfinite(scores_[id]))
      throw TokenizerError("the score of token " + std::to_string(id) + " is not a finite number");
    const TokenKind kind = vocabulary_.kind(id);
    if (kind != TokenKind::normal && kind != TokenKind::user_defined) continue;
    if (kind == TokenKind::normal) worst = std::min(worst, scores_[id]);
    const std::string_view text = vocabulary_.text(id);
    if (static_cast<int64_t>(text.size()) > most_token_bytes)
      throw TokenizerError("token " + std::to_string(id) + " has " + std::to_string(text.size()) +
                           " bytes; those of a Unigram model have at most " + std::to_string(most_token_bytes));
    if (vocabulary_.find(text) == id) order_.push_back({first_eight(text), id}); // of equals the first; no empty one
  }
  if (std::isfinite(worst)) unknown_score_ = worst - unknown_penalty;
  if (sums_ == Sums::floats) unknown_score_ = static_cast<float>(unknown_score_);
  std::sort(order_.begin(), order_.end(), [&](const Entry& a, const Entry& b) {
    if (a.beginning != b.beginning) return a.beginning < b.beginning;
    return vocabulary_.text(a.id) < vocabulary_.text(b.id);
  });
  first_.fill(0);
  for (const Entry& entry : order_) ++first_[byte_of(entry, 0) + 1];
  for (size_t b = 1; b < first_.size(); ++b) first_[b] += first_[b - 1];
}

template <typename Visit>
void UnigramTokenizer::each_prefix(std::string_view text, Visit visit) const {
  const auto first = static_cast<unsigned char>(text[0]);
  auto low = order_.begin() + first_[first], high = order_.begin() + first_[first + 1];
  for (size_t depth = 1; low < high; ++depth) { // [low, high) begin with `depth` bytes of the text
    if (vocabulary_.text(low->id).size() == depth) visit((low++)->id, depth);
    if (depth == text.size()) return;
    const int next = static_cast<unsigned char>(text[depth]);
    const auto before = [&](const Entry& entry, int byte) { return byte_of(entry, depth) < byte; };
    low = std::lower_bound(low, high, next, before);
    high = std::lower_bound(low, high, next + 1, before);
  }
}

void UnigramTokenizer::encode_plain(std::string_view text, bool starts, std::vector<int32_t>& ids, Poll& poll) const {
  const std::string marked = this->marked(text, starts);
  const std::string_view all = marked;
  std::vector<Node> nodes;
  size_t from = 0;
  if (sums_ == Sums::doubles_by_word) {
    for (size_t at = all.find(space_mark, 1); at != all.npos; at = all.find(space_mark, at + space_mark.size())) {
      encode_piece(all.substr(from, at - from), nodes, ids, poll);
      from = at;
    }
  }
  encode_piece(all.substr(from), nodes, ids, poll);
}

void UnigramTokenizer::encode_piece(std::string_view text, std::vector<Node>& nodes, std::vector<int32_t>& ids,
                                    Poll& poll) const {
  const auto size = static_cast<int64_t>(text.size());
  int64_t base = 0, p = 0; // nodes[0] is where the text is settled up to, p what is looked at
  nodes.assign(1, {0, 0, -1});
  const auto reach = [&](int64_t end, double sum, int32_t id) {
    if (sums_ == Sums::floats) sum = static_cast<float>(sum);
    if (end - base >= static_cast<int64_t>(nodes.size()))
      nodes.resize(static_cast<size_t>(end - base) + 1, {0, -1, -1});
    Node& node = nodes[static_cast<size_t>(end - base)];
    if (node.start < 0 || sum > node.sum) node = {sum, p, id};
  };
  bool unknown_before = false;
  std::vector<Node> path;
  const auto settle = [&] { // every path goes through p: the best one until there stays
    path.clear();
    for (int64_t end = p; end > base; end = path.back().start) path.push_back(nodes[static_cast<size_t>(end - base)]);
    for (size_t i = path.size(); i-- > 0;) {
      const auto& [sum, start, id] = path[i];
      const std::string_view spelt = text.substr(size_t(start), size_t((i == 0 ? p : path[i - 1].start) - start));
      if (id >= 0) {
        ids.push_back(id);
      } else if (spells_bytes_) {
        for (const char c : spelt) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      } else if (!unknown_before) {
        if (unknown_ < 0) no_token_for(spelt[0]);
        ids.push_back(unknown_);
      }
      unknown_before = id < 0;
    }
    nodes.assign(1, {nodes[static_cast<size_t>(p - base)].sum, 0, -1});
    base = p;
  };
  for (int64_t n = 0; p < size; ++n) {
    if (p > base && p - base + 1 >= static_cast<int64_t>(nodes.size())) settle();
    if ((n & 0x3FFF) == 0) poll();
    const double sum = nodes[static_cast<size_t>(p - base)].sum;
    const int64_t length =
        std::min<int64_t>(utf8_length(static_cast<unsigned char>(text[static_cast<size_t>(p)])), size - p);
    bool whole = false; // the character itself is a token
    each_prefix(text.substr(static_cast<size_t>(p)), [&](int32_t id, size_t bytes) {
      reach(p + static_cast<int64_t>(bytes), sum + scores_[id], id);
      whole = whole || static_cast<int64_t>(bytes) == length;
    });
    if (!whole) reach(p + length, sum + unknown_score_, -1);
    p += length;
  }
  settle();
}

} // namespace nextoken::tokenizer
