#include "kernels/cuda/cuda_kernels.h"

#include <string>

#include "base/errors.h"
#include "kernels/cuda/card.h"

namespace nextoken::cuda {

CudaKernels::CudaKernels(Card& card) : card_(card), laps_(card), queue_(card), failed_(&card, 4, "a flag") {}

void CudaKernels::finish() {
  queue_.finish();
  int failed = 0;
  card_.download(&failed, failed_.data(), 4);
  card_.check();
  if (failed) throw NumericalError(NOT_FINITE);
}

void CudaKernels::tell(Told& told, const void* values, int64_t bytes) {
  if (bytes == 0) return;
  if (told.memory.size() < bytes) {
    queue_.flush(); // to what is freed here
    told.memory = Buffer(&card_, 2 * bytes, "what a pass reads");
  }
  card_.upload(told.memory.data(), values, bytes);
}

void CudaKernels::tell_places(const Batch& batch) {
  places_.clear();
  block_table_.clear();
  first_block_.clear();
  for (const BatchPiece& piece : batch.pieces) {
    first_block_.push_back((int64_t)block_table_.size());
    const int64_t n_blocks = divide_up(piece.first_position + piece.n_tokens, KV_BLOCK);
    for (int64_t b = 0; b < n_blocks; ++b) block_table_.push_back(piece.cache->block_data(b));
    for (int64_t t = 0; t < piece.n_tokens; ++t) {
      const int64_t position = piece.first_position + t;
      places_.push_back({piece.cache->block_data(position / KV_BLOCK), position % KV_BLOCK});
    }
  }
  tell(told_places_, places_);
  tell(told_blocks_, block_table_);
  tiles_group_ = 0;
}

void CudaKernels::tell_tiles(const Batch& batch, int64_t group, bool latents) {
  if (tiles_group_ == group) return;
  if (tiles_group_ != 0) queue_.flush(); // which reads the tiles of before
  tiles_.clear();
  for (size_t p = 0; p < batch.pieces.size(); ++p) {
    const BatchPiece& piece = batch.pieces[p];
    add_tiles(tiles_, {piece.row_begin, piece.first_position, first_block_[p], 0, 0, 0}, piece.n_tokens, group,
              latents);
  }
  tell(told_tiles_, tiles_);
  tiles_group_ = group;
}

/// A pass starts here: what it reads is told now.
void CudaKernels::embed(const Matrix& table, const Batch& batch, float scale, Rows<float> x) {
  if (batch.poll) (*batch.poll)();
  // A step of one token a sequence: one more graph like the last.
  queue_.start(!batch.op_by_op && batch.size() == (int64_t)batch.pieces.size());
  const int none = 0;
  card_.upload(failed_.data(), &none, 4);
  ids_.assign(batch.token_ids.begin(), batch.token_ids.end());
  tell(told_ids_, ids_);
  tell(told_positions_, batch.positions);
  tell_places(batch);
  cuda::embed(queue_, table.type,
              {table.panels, table.panel_bytes, table.k, told_ids_.as<int64_t>(), false, scale, x.data, x.stride},
              x.rows);
}

void CudaKernels::add_positions(const Matrix& table, const Batch&, Rows<float>, Rows<float> x) {
  cuda::embed(queue_, table.type,
              {table.panels, table.panel_bytes, table.k, told_positions_.as<int64_t>(), true, 1.0f, x.data, x.stride},
              x.rows);
}

Forms CudaKernels::forms(Hidden& h, int64_t rows, int64_t k, const Linear& next) {
  const Rows<float> x = h.reset(rows, k);
  const Hidden::Q32Row q32 = h.q32_row(0);
  const Hidden::Q256Row q256 = h.q256_row(0);
  return {forms_of(next), k,         x.stride,         x.data,  (uint32_t*)h.bf16_row(0),
          q32.codes,      q32.scale, q32.scaled_sum,   q32.sum, q256.codes,
          q256.scale,     q256.sum,  failed_.as<int>()};
}

NormKernel::Args CudaKernels::norm_args(const Norm& norm, Rows<const float> x, int64_t head_dim) {
  NormKernel::Args args{};
  args.kind = norm.kind;
  args.eps = norm.eps;
  args.x = x.data;
  args.x_stride = x.stride;
  args.n = head_dim;
  args.heads = x.cols / head_dim;
  args.weight = weights(norm.weight);
  args.bias = weights(norm.bias);
  args.weight_stride = (int64_t)norm.weight.size() > head_dim ? head_dim : 0; // weights of each head
  args.failed = failed_.as<int>();
  return args;
}

void CudaKernels::norm(const Batch&, Rows<const float> x, const Norm& norm, const Linear& next, Hidden& h) {
  const Forms to = forms(h, x.rows, x.cols, next);
  if (norm.weight.empty()) {
    return convert(queue_, {ConvertKernel::Of::rows, Gate::silu, x.data, nullptr, x.stride, to, nullptr}, x.rows);
  }
  NormKernel::Args args = norm_args(norm, x, x.cols);
  args.forms = to;
  cuda::norm(queue_, args, x.rows);
}

void CudaKernels::head_norm(const Batch&, Rows<float> heads, int64_t head_dim, const Norm& norm) {
  NormKernel::Args args = norm_args(norm, heads, head_dim);
  args.y = heads.data;
  args.y_stride = heads.stride;
  cuda::norm(queue_, args, heads.rows);
}

void CudaKernels::add_residual(const Batch&, Rows<float> y, const Norm& norm, Rows<float> x) {
  if (norm.weight.empty()) {
    return cuda::elementwise(queue_, {ElementwiseKernel::Op::add, x.data, x.stride, x.cols, y.data, y.stride, 0.0f},
                             x.rows);
  }
  NormKernel::Args args = norm_args(norm, y, y.cols);
  args.added_to = x.data;
  args.added_to_stride = x.stride;
  cuda::norm(queue_, args, y.rows);
}

/// Matrices of one type are one launch.
void CudaKernels::multiply(const Linear& w, const Hidden& h, const std::vector<const uint8_t* const*>& of_each,
                           Rows<float> y, MatmulArgs args) {
  args.k = w.parts[0]->k;
  args.out = y.data;
  args.out_stride = y.stride;
  std::vector<bool> done(w.parts.size());
  for (size_t first = 0; first < w.parts.size(); ++first) {
    if (done[first]) continue;
    int64_t n_panels = 0, column = 0;
    args.n_parts = 0;
    for (size_t i = 0; i < w.parts.size(); ++i) {
      const Matrix& m = *w.parts[i];
      if (m.type == w.parts[first]->type && args.n_parts < MOST_PARTS && !done[i]) {
        args.parts[args.n_parts++] = {m.panels, m.panel_bytes, m.n_rows,
                                      n_panels, column,        of_each.empty() ? nullptr : of_each[i]};
        n_panels += m.n_panels();
        done[i] = true;
      }
      column += m.n_rows;
    }
    args.in = h.form(w.parts[first]->form);
    // The only row is that of every group.
    if (args.groups && h.rows().rows == 1)
      args.in.x_stride = args.in.codes_stride = args.in.scale_stride = args.in.sum_stride = 0;
    cuda::matmul(queue_, w.parts[first]->type, args, n_panels);
  }
}

void CudaKernels::matmul(const Batch& batch, const Hidden& h, const Linear& w, Rows<float> y) {
  if (batch.poll) (*batch.poll)();
  MatmulArgs args{};
  args.n_tokens = h.rows().rows;
  multiply(w, h, {}, y, args);
}

void CudaKernels::add_bias(const Batch&, const std::vector<float>& bias, Rows<float> y) {
  if (bias.empty()) return;
  cuda::elementwise(queue_, {ElementwiseKernel::Op::add, y.data, y.stride, y.cols, weights(bias), 0, 0.0f}, y.rows);
}

void CudaKernels::elementwise(ElementwiseKernel::Op op, float number, Rows<float> x) {
  cuda::elementwise(queue_, {op, x.data, x.stride, x.cols, nullptr, 0, number}, x.rows);
}

void CudaKernels::clamp(const Batch&, float limit, Rows<float> y) {
  elementwise(ElementwiseKernel::Op::clamp, limit, y);
}
void CudaKernels::scale(const Batch&, float factor, Rows<float> y) {
  if (factor != 1.0f) elementwise(ElementwiseKernel::Op::multiply, factor, y);
}
void CudaKernels::soft_cap(const Batch&, float cap, Rows<float> x) {
  elementwise(ElementwiseKernel::Op::soft_cap, cap, x);
}

void CudaKernels::gated_activation(const Batch&, Gate gate, Rows<const float> gate_up, const Linear& next, Hidden& f) {
  const int64_t ffn_size = gate_up.cols / 2;
  const Forms to = forms(f, gate_up.rows, ffn_size, next);
  convert(queue_, {ConvertKernel::Of::gated, gate, gate_up.data, gate_up.data + ffn_size, gate_up.stride, to, nullptr},
          gate_up.rows);
}

void CudaKernels::activation(const Batch&, Gate gate, Rows<const float> up, const Linear& next, Hidden& f) {
  const Forms to = forms(f, up.rows, up.cols, next);
  convert(queue_, {ConvertKernel::Of::gate, gate, up.data, nullptr, up.stride, to, nullptr}, up.rows);
}

} // namespace nextoken::cuda
