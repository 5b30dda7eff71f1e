#include "tokenizer/vocabulary.h"

#include <cstring>

namespace nextoken::tokenizer {
namespace {

/// Mixes eight bytes at a time; the odd multipliers are the golden ratio's and a prime of xxHash.
uint64_t hash(std::string_view text) {
  uint64_t h = text.size() * 0x9E3779B97F4A7C15u;
  const char* p = text.data();
  for (size_t left = text.size(); left > 0;) {
    uint64_t word = 0;
    const size_t n = left < 8 ? left : 8;
    std::memcpy(&word, p, n);
    h = (h ^ word) * 0xC2B2AE3D27D4EB4Fu;
    h ^= h >> 29;
    p += n;
    left -= n;
  }
  return h ^ h >> 32;
}

} // namespace

Vocabulary::Vocabulary(int64_t n_tokens, int64_t n_bytes) {
  size_t n_slots = 16;
  while (n_slots < 2 * static_cast<size_t>(n_tokens)) n_slots *= 2;
  slots_.assign(n_slots, -1);
  text_.reserve(n_bytes);
  starts_.reserve(n_tokens + 1);
  starts_.push_back(0);
  kinds_.reserve(n_tokens);
}

void Vocabulary::add(std::string_view text, TokenKind kind) {
  const int32_t id = size();
  text_.append(text);
  starts_.push_back(static_cast<int64_t>(text_.size()));
  kinds_.push_back(static_cast<uint8_t>(kind));
  if (text.empty() || find(text) >= 0) return;
  size_t slot = hash(text) & (slots_.size() - 1);
  while (slots_[slot] >= 0) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = id;
}

int32_t Vocabulary::find(std::string_view wanted) const {
  for (size_t slot = hash(wanted) & (slots_.size() - 1); slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1))
    if (text(slots_[slot]) == wanted) return slots_[slot];
  return -1;
}

} // namespace nextoken::tokenizer
