// Packing a matrix and multiplying by it, start to end on one thread: what nextoken.kernels offers to Python. The
// forward pass calls the table itself, piece by piece.
#pragma once
#include "base/buffer.h"
#include "base/view.h"
#include "kernels/matrix.h"
#include "kernels/table.h"

namespace nextoken {

struct OwnedMatrix {
  Matrix matrix;
  Buffer storage;
};

/// n_rows x k weights as they stand in a file. Throws UnsupportedError if k is no multiple of the type's block,
/// NumericalError if a scale is not finite.
OwnedMatrix pack_matrix(WeightType type, const uint8_t* bytes, int64_t n_rows, int64_t k);

/// out[t][n] = sum over k of weights[n][k] * x[t][k]. The work is done panel_step panels and token_step tokens at a
/// time, which changes no bit. Throws NumericalError if the weights' type quantises x and x is not finite.
void multiply(const KernelTable& kernels, const Matrix& weights, Rows<const float> x, Rows<float> out,
              int64_t panel_step, int64_t token_step);

} // namespace nextoken
