// Positions, the cache and attention of the kernel set on a card.
#include <algorithm>

#include "kernels/cuda/card.h"
#include "kernels/cuda/cuda_kernels.h"

namespace nextoken::cuda {
namespace {

constexpr int64_t PARTIAL_BYTES = int64_t{64} << 20; // of attention, at once

} // namespace

CacheLayout layout_of(const KvShape& shape, int64_t layer) {
  const int64_t head_bytes = shape.k_bytes() + shape.v_bytes();
  return {shape.type,      shape.head_dim, divide_up(shape.value_dim(), 16) * 16, shape.k_bytes(),
          shape.v_bytes(), head_bytes,     layer * shape.n_kv_heads * head_bytes, shape.latent_dim};
}

void CudaKernels::rope_angles(const Batch& batch, const Rotation& rotation, RopeAngles angles) {
  if (rotation.inverse_frequencies.empty()) return; // heads that do not rotate
  RopeTable* table = nullptr;
  for (RopeTable& t : rope_tables_) {
    if (t.is_of(rotation)) table = &t;
  }
  if (!table) table = &rope_tables_.emplace_back(rotation);
  cos_.clear();
  sin_.clear();
  for (const int64_t position : batch.positions) {
    if (table->claim(position)) table->fill(position);
    const float* const row = table->row(position);
    cos_.insert(cos_.end(), row, row + table->half());
    sin_.insert(sin_.end(), row + table->half(), row + 2 * table->half());
  }
  card_.upload(angles.cos.data, cos_.data(), (int64_t)cos_.size() * 4);
  card_.upload(angles.sin.data, sin_.data(), (int64_t)sin_.size() * 4);
}

void CudaKernels::rope(const Batch&, RopePairs pairs, const RopeAngles& angles, int64_t head_dim, Rows<float> heads) {
  if (angles.cos.cols == 0) return;
  cuda::rope(queue_,
             {pairs, angles.cos.data, angles.sin.data, angles.cos.stride, angles.cos.cols,
              divide_up(heads.cols, head_dim), // the last may be shorter
              head_dim, heads.data, heads.stride},
             heads.rows);
}

void CudaKernels::store(const Batch& batch, int64_t layer, Rows<const float> k, Rows<const float> v) {
  if (batch.pieces.empty()) return;
  const KvShape& shape = batch.pieces[0].cache->shape();
  kv_write(queue_, {layout_of(shape, layer), told_places_.as<RowPlace>(), k.data, v.data, k.stride, v.stride}, k.rows,
           shape.n_kv_heads);
}

void CudaKernels::attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, Rows<const float> q,
                            const Linear& next, Hidden& a) {
  const Forms to = forms(a, q.rows, spec.n_heads * spec.value_dim(), next);
  if (batch.pieces.empty()) return;
  const int64_t group = spec.n_heads / spec.n_kv_heads;
  int64_t n_segments = 1;
  for (const BatchPiece& piece : batch.pieces) {
    n_segments = std::max(n_segments, divide_up(piece.first_position + piece.n_tokens, ATTENTION_SEGMENT));
  }
  const CacheLayout cache = layout_of(batch.pieces[0].cache->shape(), layer);
  tell_tiles(batch, group, cache.latent_dim > 0);
  // As many rows at once as the partial results have room for.
  const int64_t row_results = spec.n_heads * n_segments, row_bytes = row_results * (cache.width + 2) * 4;
  const int64_t rows_at_once = std::max<int64_t>(LATENT_ROWS, PARTIAL_BYTES / row_bytes);
  for (size_t begin = 0; begin < tiles_.size();) {
    const int64_t first_row = tiles_[begin].row;
    size_t end = begin;
    while (end < tiles_.size() && tiles_[end].row + tiles_[end].n_tokens - first_row <= rows_at_once) ++end;
    const int64_t rows = tiles_[end - 1].row + tiles_[end - 1].n_tokens - first_row, results = rows * row_results;
    if (partials_.size() < rows * row_bytes) {
      queue_.flush(); // to what is freed here
      partials_ = Buffer(&card_, rows * row_bytes, "attention partials");
    }
    float* const out = partials_.as<float>();
    float* const most = out + results * cache.width;
    const Partials partials{most, most + results, out, n_segments, first_row};
    cuda::attention(
        queue_,
        {cache, told_blocks_.as<uint8_t*>(), told_tiles_.as<AttentionTile>() + begin, q.data, q.stride, spec.n_heads,
         group, spec.window, spec.scale, spec.soft_cap, spec.slopes ? weights(spec.slopes, spec.n_heads) : nullptr,
         partials, spec.chunk, spec.bf16_distances},
        (int64_t)(end - begin), spec.n_kv_heads);
    merge(queue_,
          {partials, spec.n_heads, spec.value_dim(), cache.width, to.x + first_row * to.max_k, to.max_k,
           spec.sinks ? weights(spec.sinks, spec.n_heads) : nullptr},
          rows);
    begin = end;
  }
  convert(queue_, {ConvertKernel::Of::rows, Gate::silu, to.x, nullptr, to.max_k, to, nullptr}, q.rows);
}

/// Rows of the room stand head by head.
void CudaKernels::head_matmul(const Batch& batch, Rows<const float> x, const std::vector<Matrix>& heads, Hidden& room,
                              Rows<float> y) {
  if (batch.poll) (*batch.poll)();
  const int64_t n = (int64_t)heads.size(), from = x.cols / n, to = y.cols / n, k = heads[0].k, n_rows = heads[0].n_rows;
  Linear w;
  w.parts = {&heads[0]};
  const Forms in = forms(room, x.rows * n, k, w);
  convert(queue_, {ConvertKernel::Of::rows, Gate::silu, x.data, nullptr, x.stride, in, nullptr, x.rows, from},
          x.rows * n);
  const uint8_t* const* const panels = table<const uint8_t*>(heads.data(), [&] {
    std::vector<const uint8_t*> of_each;
    for (const Matrix& head : heads) of_each.push_back(head.panels);
    return of_each;
  });
  MatmulArgs args{};
  args.n_tokens = x.rows;
  args.n_heads = n;
  args.head_columns = to;
  multiply(w, room, {panels}, y, args);
  copy_heads(queue_, {x.data + k, x.stride, from, y.data + n_rows, y.stride, to, n, from - k}, x.rows);
}

} // namespace nextoken::cuda
