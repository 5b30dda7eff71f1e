// Weights as the kernels read them.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/types.h"

namespace nextoken {

/// n_rows x k weights packed into panels (quant/pack.h); the memory belongs to the model.
struct Matrix {
  WeightType type = WeightType::f32;
  ActivationForm form = ActivationForm::f32;
  int64_t n_rows = 0, k = 0;
  int64_t panel_bytes = 0;
  const uint8_t* panels = nullptr;

  int64_t n_panels() const { return (n_rows + PANEL_ROWS - 1) / PANEL_ROWS; }
  int64_t bytes() const { return n_panels() * panel_bytes; }
};

/// Matrices that multiply the same activations in one region; their outputs stand side by side (q|k|v, gate|up).
struct Linear {
  std::vector<const Matrix*> parts;

  int64_t n_rows() const {
    int64_t n = 0;
    for (const Matrix* part : parts) n += part->n_rows;
    return n;
  }
};

/// One of the feed-forwards that a router chooses from.
struct Expert {
  Matrix gate, up, down;
  std::vector<float> gate_bias, up_bias, down_bias; // or empty
};

} // namespace nextoken
