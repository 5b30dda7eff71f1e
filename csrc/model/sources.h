// Where the tensors of a model come from: places in files, and what is to be done to them on the way.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace nextoken {

/// shape[0] is the contiguous dimension, as in GGUF.
struct TensorSource {
  std::string name;
  int32_t type = 0; // GGUF's number
  std::vector<int64_t> shape;
  int64_t offset = 0, nbytes = 0;
  int32_t file = 0; // of the files given

  int32_t stored_type = -1; // a matrix is converted to this type of GGUF's, if not -1: only from F32, F16 and BF16
  int64_t halved_heads = 0; // rows, or a vector's elements, are so many heads that rotate (i, i + n/2), and become
                            // pairs (2i, 2i + 1); 0: as is
  // Rows are so many groups of a few query heads, a key head and a value head, each of head_dim rows, and become all
  // queries, all keys, all values; 0: as is
  int64_t qkv_groups = 0, head_dim = 0;
  // Rows, or elements of vectors that stand behind each other, are of so many in the file: first_row, first_row +
  // row_step, ...; 0: they are all
  int64_t file_rows = 0, first_row = 0, row_step = 1;
  bool transposed = false;  // a matrix whose elements stand column by column, in blocks along the columns if quantised
  int64_t file_columns = 0; // of it, in the file: these are the first; 0: they are all
  float plus = 0.0f;        // is added to each element of a vector
  std::vector<float>
      values; // of a vector that is in no file; the fields above but name, shape and plus are unused then

  bool reorders() const { return halved_heads != 0 || qkv_groups != 0 || file_rows != 0; }
  int64_t columns_in_file(int64_t k) const { return file_columns ? file_columns : k; }
  int64_t rows_in_file(int64_t n_rows) const { return file_rows ? file_rows : n_rows; }
  /// Where row `row` of n_rows stands in the file.
  int64_t stored_row(int64_t n_rows, int64_t row) const {
    if (file_rows != 0) return row / n_rows * file_rows + first_row + row % n_rows * row_step;
    if (halved_heads != 0) {
      const int64_t head_rows = n_rows / halved_heads, in_head = row % head_rows;
      return row - in_head + in_head / 2 + in_head % 2 * (head_rows / 2);
    }
    if (qkv_groups == 0) return row;
    const int64_t group_rows = n_rows / qkv_groups, q_rows = group_rows - 2 * head_dim;
    if (row < qkv_groups * q_rows) return row / q_rows * group_rows + row % q_rows;
    const int64_t i = row - qkv_groups * q_rows, of_all = qkv_groups * head_dim; // keys, then as many values
    return i % of_all / head_dim * group_rows + q_rows + i / of_all * head_dim + i % head_dim;
  }
};

/// Roles: "embedding", "lm_head" (absent if tied), "final_norm", "rope_factors" (optional), and for each layer
/// "layers.3.q", ".k", ".v" or ".qkv" in one, ".o", ".gate", ".up" or ".gate_up" in one, ".down", biases of any of
/// these as ".q_bias", ".router" and ".expert_gate", ".expert_up", ".expert_down" (one tensor for all experts, or
/// ".expert_gate.0" and so on, one each), ".router_bias", ".expert_gate_bias" and so on, ".sinks", and where the spec
/// has them ".attn_norm", ".ffn_norm", ".q_norm", ".k_norm",
/// ".attn_post_norm", ".ffn_post_norm". Optional: "positions", "embedding_norm", "lm_head_bias", biases of norms.
using TensorSources = std::map<std::string, TensorSource>;

} // namespace nextoken
