// Where the tensors of a model come from: places in files, and what is to be done to them on the way.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace nextoken {

/// The bytes of a matrix whose numbers are scaled by a second tensor, as Hugging Face folders have them: floats of
/// eight bits, one a byte, or the four bits of MXFP4, two neighbours a byte.
enum class Codes : int32_t { none, e4m3, e5m2, mxfp4 };

/// The second tensor. Element c of line r of the file is its code times scale (r / block_rows, c / block_columns). Each
/// matrix_lines lines have a grid of scales of their own, one behind the other.
struct Scales {
  static constexpr int32_t E8M0 = -1;
  Codes codes = Codes::none;
  int32_t type = 0; // GGUF's number of F32, F16 or BF16, or E8M0
  int32_t file = 0; // of the files given
  int64_t offset = 0, nbytes = 0;
  int64_t block_rows = 1, block_columns = 1, matrix_lines = 1;

  int64_t grid_rows() const { return (matrix_lines + block_rows - 1) / block_rows; }
  int64_t grid_columns(int64_t line) const { return (line + block_columns - 1) / block_columns; }
  int64_t grid_row(int64_t r) const { return r / matrix_lines * grid_rows() + r % matrix_lines / block_rows; }
  int64_t element_bytes() const { return type == E8M0 ? 1 : type == (int32_t)WeightType::f32 ? 4 : 2; }
};

/// shape[0] is the contiguous dimension, as in GGUF.
struct TensorSource {
  std::string name;
  int32_t type = 0; // GGUF's number; with scales that of what its rows are with them: F32, or MXFP4
  std::vector<int64_t> shape;
  int64_t offset = 0, nbytes = 0;
  int32_t file = 0; // of the files given

  int32_t stored_type = -1; // a matrix is converted to this type of GGUF's, if not -1: only from floats
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
  Scales scales;            // of a matrix, which may do without
  std::vector<float>
      values; // of a vector that is in no file; the fields above but name, shape and plus are unused then

  bool reorders() const { return halved_heads != 0 || qkv_groups != 0 || file_rows != 0; }
  int64_t columns_in_file(int64_t k) const { return file_columns ? file_columns : k; }
  int64_t rows_in_file(int64_t n_rows) const { return file_rows ? file_rows : n_rows; }
  /// Elements of a line, which is a row as the file has it (a column of one that is transposed), and lines of a matrix.
  int64_t line(int64_t n_rows, int64_t k) const { return transposed ? rows_in_file(n_rows) : k; }
  int64_t n_lines(int64_t n_rows, int64_t k) const { return transposed ? columns_in_file(k) : rows_in_file(n_rows); }
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
/// has them ".attn_norm", ".ffn_norm", ".q_norm", ".k_norm" (or ".q_norm.0" and so on, one a head), ".attn_post_norm",
/// ".ffn_post_norm", "widen", "narrow". Optional: "positions", "embedding_norm", "lm_head_bias", biases of norms.
using TensorSources = std::map<std::string, TensorSource>;

} // namespace nextoken
