// What a product is asked: matrices side by side, and the tokens that a block of threads takes.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

constexpr int MOST_PARTS = 4;
constexpr int FEW_TOKENS = 1, MANY_TOKENS = 8; // of a block of threads, where weights are not multiplied as tiles
constexpr int TILE_TOKENS = 8, GROUP_TILES = 4, GROUP_TOKENS = 32; // of one that does, for groups of tokens
static_assert(GROUP_TILES * TILE_TOKENS == GROUP_TOKENS, "a group is a block's");
// Tokens: blocks that multiply tiles are smaller, so that there are enough of them for all processors of a card.
constexpr int64_t FEW_TILED = 128;

/// A matrix of those that multiply the same activations; its results stand from `column` on.
struct MatmulPart {
  const uint8_t* panels;
  int64_t panel_bytes, n_rows, first_panel, column;
  // Where tokens have matrices of their own, of one shape: the panels of each, or null. Of an only part some may be
  // null, and are not multiplied.
  const uint8_t* const* of_each = nullptr;
};

/// Tokens [first, first + n), which a matrix of their own multiplies; n may be 0.
struct MatmulGroup {
  int32_t matrix, first, n;
};

struct MatmulArgs {
  MatmulPart parts[MOST_PARTS]; // first_panel ascending
  int n_parts;
  int64_t n_panels, k, n_tokens; // panels of all parts
  Activations in;
  float* out;
  int64_t out_stride;
  // Either groups on the card, of at most group_tokens each...
  const MatmulGroup* groups;
  int64_t n_groups, group_tokens;
  // ...or, where n_heads is not 0, as many matrices: that of head h multiplies tokens [h n_tokens, (h + 1) n_tokens),
  // whose results stand from column h * head_columns on of rows [0, n_tokens).
  int64_t n_heads, head_columns;

  int64_t tokens_at_once() const { return groups ? group_tokens : n_tokens; }
  NEXTOKEN_HD int64_t spans(int64_t tokens) const {
    return groups ? n_groups : (n_heads ? n_heads : 1) * divide_up(n_tokens, tokens);
  }
};

/// Which part a panel is of.
NEXTOKEN_HD int part_of(const MatmulArgs& a, int64_t panel) {
  int p = 0;
  while (p + 1 < a.n_parts && panel >= a.parts[p + 1].first_panel) ++p;
  return p;
}

/// What a block of threads for T tokens computes: n of them from `first` on; n may be 0.
template <int T>
struct TokenSpan {
  int64_t first, matrix;
  int n;
  float* out; // results of the first token

  NEXTOKEN_HD TokenSpan(const MatmulArgs& a, int64_t place) : first(place * T), matrix(0), out(a.out) {
    int64_t row = first, end = a.n_tokens;
    if (a.groups) {
      const MatmulGroup group = a.groups[place];
      matrix = group.matrix;
      row = first = group.first;
      end = a.parts[0].of_each[matrix] ? first + group.n : first;
    } else if (a.n_heads) {
      const int64_t spans = divide_up(a.n_tokens, T);
      matrix = place / spans;
      row = place % spans * T;
      first = matrix * a.n_tokens + row;
      end = (matrix + 1) * a.n_tokens;
      out += matrix * a.head_columns;
    }
    n = (int)(end - first < T ? end - first : T);
    out += row * a.out_stride;
  }
  NEXTOKEN_HD const uint8_t* panels(const MatmulPart& part) const {
    return part.of_each ? part.of_each[matrix] : part.panels;
  }
};

} // namespace nextoken::cuda
