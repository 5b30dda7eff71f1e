// What a product is told: matrices that multiply the same activations, and where results go.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

constexpr int MOST_PARTS = 4;

/// A matrix of those that multiply the same activations; its results stand from `column` on.
struct MatmulPart {
  const uint8_t* panels;
  int64_t panel_bytes, n_rows, first_panel, column;
};

struct MatmulArgs {
  MatmulPart parts[MOST_PARTS]; // first_panel ascending
  int n_parts;
  int64_t n_panels, k, n_tokens; // panels of all parts
  Activations in;
  float* out;
  int64_t out_stride;
};

/// Which part a panel is of.
NEXTOKEN_HD int part_of(const MatmulArgs& a, int64_t panel) {
  int p = 0;
  while (p + 1 < a.n_parts && panel >= a.parts[p + 1].first_panel) ++p;
  return p;
}

} // namespace nextoken::cuda
