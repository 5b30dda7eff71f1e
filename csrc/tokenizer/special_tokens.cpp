#include "tokenizer/special_tokens.h"

namespace nextoken::tokenizer {

void SpecialTokens::add(std::string_view text, int32_t id) {
  int32_t parent = -1;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t node = parent < 0 ? roots_[byte] : nodes_[parent].child;
    while (node >= 0 && nodes_[node].byte != byte) node = nodes_[node].sibling;
    if (node < 0) {
      node = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({byte, -1, -1, parent < 0 ? -1 : nodes_[parent].child});
      (parent < 0 ? roots_[byte] : nodes_[parent].child) = node;
    }
    parent = node;
  }
  if (parent >= 0 && nodes_[parent].id < 0) nodes_[parent].id = id;
}

int32_t SpecialTokens::match(const char* p, const char* end, int64_t& length) const {
  int32_t best = -1;
  const char* q = p;
  int32_t node = p < end ? roots_[static_cast<unsigned char>(*p)] : -1;
  while (node >= 0) {
    if (nodes_[node].byte != static_cast<unsigned char>(*q)) {
      node = nodes_[node].sibling;
      continue;
    }
    ++q;
    if (nodes_[node].id >= 0) {
      best = nodes_[node].id;
      length = q - p;
    }
    node = q < end ? nodes_[node].child : -1;
  }
  return best;
}

bool SpecialTokens::continues(std::string_view text) const {
  int32_t node = text.empty() ? -1 : roots_[static_cast<unsigned char>(text[0])];
  size_t i = 0;
  while (node >= 0) {
    if (nodes_[node].byte != static_cast<unsigned char>(text[i])) {
      node = nodes_[node].sibling;
      continue;
    }
    node = nodes_[node].child;
    if (++i == text.size()) return node >= 0;
  }
  return false;
}

} // namespace nextoken::tokenizer
