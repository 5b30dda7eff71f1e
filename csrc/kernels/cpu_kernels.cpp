#include "kernels/cpu_kernels.h"

#include <algorithm>
#include <cstring>

#include "base/errors.h"
#include "base/finite.h"

namespace nextoken {
namespace {

constexpr int64_t PANELS_A_PIECE = 4; // a kernel takes up to so many at once
constexpr int64_t DECODE_ROWS = 8;    // up to here a matmul is bound by memory, and a thread takes runs of pieces

void require_finite(bool finite) {
  if (!finite) throw NumericalError("the model's activations are no longer finite numbers");
}

} // namespace

float* CpuKernels::scratch(int thread, int64_t floats) {
  Buffer& buffer = scratch_[(size_t)thread];
  if (buffer.size() < floats * 4) buffer = Buffer(floats * 4, "attention scratch");
  return buffer.as<float>();
}

void CpuKernels::quantize_row(const Hidden& h, unsigned forms, int64_t row) const {
  const float* x = h.rows()[row];
  const int64_t k = h.rows().cols;
  bool finite = true;
  if (forms & (1u << (int)ActivationForm::q32)) {
    const Hidden::Q32Row r = h.q32_row(row);
    finite &= table_.quantize_q32(x, k, r.codes, r.scale, r.scaled_sum, r.sum);
  }
  if (forms & (1u << (int)ActivationForm::q256)) {
    const Hidden::Q256Row r = h.q256_row(row);
    finite &= table_.quantize_q256(x, k, r.codes, r.scale, r.sum);
  }
  if (forms & (1u << (int)ActivationForm::bf16)) table_.round_bf16(x, k, h.bf16_row(row));
  const unsigned checked = (1u << (int)ActivationForm::q32) | (1u << (int)ActivationForm::q256);
  if (!(forms & checked)) finite = all_finite(x, k); // quantising has looked at every number
  require_finite(finite);
}

/// By the weights from `first` on.
void CpuKernels::normalize(const Norm& norm, int64_t first, const float* x, int64_t n, float* y) const {
  const float* const weight = norm.weight.data() + first;
  if (norm.kind == NormKind::rms) return require_finite(table_.rms_norm(x, weight, norm.eps, n, y));
  const float* const bias = norm.bias.empty() ? nullptr : norm.bias.data() + first;
  require_finite(table_.layer_norm(x, weight, bias, norm.eps, n, y));
}

void CpuKernels::embed(const Matrix& table, const Batch& batch, float scale, Rows<float> x) {
  each_row(batch, x.rows, [&](int64_t i) {
    table_.unpack_row(table.type, table.panels, table.panel_bytes, batch.token_ids[(size_t)i], table.k, x[i]);
    if (scale != 1.0f) table_.multiply(scale, x.cols, x[i]);
  });
}

void CpuKernels::add_positions(const Matrix& table, const Batch& batch, Rows<float> room, Rows<float> x) {
  each_row(batch, x.rows, [&](int64_t i) {
    table_.unpack_row(table.type, table.panels, table.panel_bytes, batch.positions[(size_t)i], table.k, room[i]);
    table_.add(room[i], x.cols, x[i]);
  });
}

void CpuKernels::norm(const Batch& batch, Rows<const float> x, const Norm& norm, const Linear& next, Hidden& h) {
  const Rows<float> y = h.reset(x.rows, x.cols);
  const unsigned forms = forms_of(next);
  each_row(batch, x.rows, [&](int64_t i) {
    if (norm.weight.empty())
      std::memcpy(y[i], x[i], (size_t)x.cols * 4);
    else
      normalize(norm, 0, x[i], x.cols, y[i]);
    quantize_row(h, forms, i);
  });
}

void CpuKernels::matmul(const Batch& batch, const Hidden& h, const Linear& w, Rows<float> y) {
  struct Part {
    MatmulArgs args;
    int64_t first_panel; // counted over all parts
  };
  Part parts[4];
  int64_t n_parts = 0, n_panels = 0, column = 0;
  for (const Matrix* m : w.parts) {
    parts[n_parts++] = {{m->type, m->panels, m->panel_bytes, m->n_rows, m->k, 0, 0, h.form(m->form), 0, h.rows().rows,
                         y.data + column, y.stride},
                        n_panels};
    n_panels += m->n_panels();
    column += m->n_rows;
  }
  // Panels [begin, end) of all parts taken together.
  const auto multiply = [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < n_parts; ++i) {
      const int64_t first = parts[i].first_panel, last = i + 1 < n_parts ? parts[i + 1].first_panel : n_panels;
      if (begin >= last || end <= first) continue;
      MatmulArgs args = parts[i].args;
      args.panel_begin = std::max(begin, first) - first;
      args.panel_end = std::min(end, last) - first;
      table_.matmul(args);
    }
  };
  const int64_t pieces = (n_panels + PANELS_A_PIECE - 1) / PANELS_A_PIECE;
  const auto run = [&](int64_t begin, int64_t end, int) {
    multiply(begin * PANELS_A_PIECE, std::min(n_panels, end * PANELS_A_PIECE));
  };
  if (h.rows().rows <= DECODE_ROWS) {
    pool_.divide_runs(pieces, run);
    if (batch.poll) (*batch.poll)(); // once: a look at the clock for each run would be felt
  } else {
    pool_.divide(pieces, batch.poll, [&](int64_t piece, int thread) { run(piece, piece + 1, thread); });
  }
}

void CpuKernels::head_norm(const Batch& batch, Rows<float> heads, int64_t head_dim, const Norm& norm) {
  const bool own = (int64_t)norm.weight.size() > head_dim; // weights of each head
  each_row(batch, heads.rows, [&](int64_t i) {
    for (int64_t c = 0; c < heads.cols; c += head_dim) {
      normalize(norm, own ? c : 0, heads[i] + c, head_dim, heads[i] + c);
    }
  });
}

void CpuKernels::add_bias(const Batch& batch, const std::vector<float>& bias, Rows<float> y) {
  if (bias.empty()) return;
  each_row(batch, y.rows, [&](int64_t i) { table_.add(bias.data(), y.cols, y[i]); });
}

void CpuKernels::clamp(const Batch& batch, float limit, Rows<float> y) {
  each_row(batch, y.rows, [&](int64_t i) { table_.clamp(limit, y.cols, y[i]); });
}

void CpuKernels::scale(const Batch& batch, float factor, Rows<float> y) {
  if (factor == 1.0f) return;
  each_row(batch, y.rows, [&](int64_t i) { table_.multiply(factor, y.cols, y[i]); });
}

RopeTable& CpuKernels::rope_table(const Rotation& rotation) {
  for (RopeTable& table : rope_tables_) {
    if (table.is_of(rotation)) return table;
  }
  return rope_tables_.emplace_back(rotation);
}

void CpuKernels::rope_angles(const Batch& batch, const Rotation& rotation, RopeAngles angles) {
  if (rotation.inverse_frequencies.empty()) return; // heads that do not rotate
  RopeTable& table = rope_table(rotation);
  new_positions_.clear();
  try {
    for (const int64_t position : batch.positions) {
      if (table.claim(position)) new_positions_.push_back(position);
    }
    each_row(batch, (int64_t)new_positions_.size(), [&](int64_t i) { table.fill(new_positions_[(size_t)i]); });
  } catch (...) {
    rope_tables_.clear(); // some of its rows are claimed and not filled
    throw;
  }
  const size_t bytes = (size_t)table.half() * 4;
  for (int64_t i = 0; i < angles.cos.rows; ++i) {
    const float* const row = table.row(batch.positions[(size_t)i]);
    std::memcpy(angles.cos[i], row, bytes);
    std::memcpy(angles.sin[i], row + table.half(), bytes);
  }
}

void CpuKernels::rope(const Batch& batch, RopePairs pairs, const RopeAngles& angles, int64_t head_dim,
                      Rows<float> heads) {
  each_row(batch, heads.rows, [&](int64_t i) {
    for (int64_t c = 0; c < heads.cols; c += head_dim) {
      table_.rope(pairs, angles.cos[i], angles.sin[i], angles.cos.cols * 2, heads[i] + c);
    }
  });
}

void CpuKernels::store(const Batch& batch, int64_t layer, Rows<const float> k, Rows<const float> v) {
  each_row(batch, k.rows, [&](int64_t row) {
    const auto before = [](int64_t r, const BatchPiece& piece) { return r < piece.row_begin; };
    const BatchPiece& piece = *(std::upper_bound(batch.pieces.begin(), batch.pieces.end(), row, before) - 1);
    const KvShape& shape = piece.cache->shape();
    const int64_t position = piece.first_position + row - piece.row_begin, block = position / KV_BLOCK;
    for (int64_t head = 0; head < shape.n_kv_heads; ++head) {
      if (shape.latent_dim) {
        table_.latent_write(shape.type, k[row], shape.head_dim, shape.latent_dim, position % KV_BLOCK,
                            piece.cache->k_block(layer, head, block));
        continue;
      }
      table_.kv_write(shape.type, k[row] + head * shape.head_dim, v[row] + head * shape.head_dim, shape.head_dim,
                      position % KV_BLOCK, piece.cache->k_block(layer, head, block),
                      piece.cache->v_block(layer, head, block));
    }
  });
}

void CpuKernels::gated_activation(const Batch& batch, Gate gate, Rows<const float> gate_up, const Linear& next,
                                  Hidden& f) {
  const int64_t ffn_size = gate_up.cols / 2;
  const Rows<float> y = f.reset(gate_up.rows, ffn_size);
  const unsigned forms = forms_of(next);
  each_row(batch, gate_up.rows, [&](int64_t i) {
    table_.gated_activation(gate, gate_up[i], gate_up[i] + ffn_size, ffn_size, y[i]);
    quantize_row(f, forms, i);
  });
}

void CpuKernels::activation(const Batch& batch, Gate gate, Rows<const float> up, const Linear& next, Hidden& f) {
  const Rows<float> y = f.reset(up.rows, up.cols);
  const unsigned forms = forms_of(next);
  each_row(batch, up.rows, [&](int64_t i) {
    table_.activation(gate, up[i], up.cols, y[i]);
    quantize_row(f, forms, i);
  });
}

void CpuKernels::add_residual(const Batch& batch, Rows<float> y, const Norm& norm, Rows<float> x) {
  each_row(batch, x.rows, [&](int64_t i) {
    if (!norm.weight.empty()) normalize(norm, 0, y[i], y.cols, y[i]);
    table_.add(y[i], x.cols, x[i]);
  });
}

void CpuKernels::soft_cap(const Batch& batch, float cap, Rows<float> x) {
  each_row(batch, x.rows, [&](int64_t i) { table_.soft_cap(cap, x.cols, x[i]); });
}

} // namespace nextoken
