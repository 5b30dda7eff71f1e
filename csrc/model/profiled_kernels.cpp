#include "model/profiled_kernels.h"

#include <algorithm>

namespace nextoken {
namespace {

/// Reading each matrix once, and multiplying it with every row.
OpTotals work_of(const Linear& w, int64_t rows) {
  OpTotals work;
  for (const Matrix* m : w.parts) {
    int64_t OpTotals::* const macs = m->form == ActivationForm::f32    ? &OpTotals::float_macs
                                     : m->form == ActivationForm::bf16 ? &OpTotals::bf16_macs
                                                                       : &OpTotals::int8_macs;
    work.*macs += rows * m->n_rows * m->k;
    work.bytes += m->bytes();
  }
  return work;
}

/// Reading each key and value that a piece sees once, and multiplying it with the queries that see it.
OpTotals work_of(const Batch& batch, const AttentionSpec& spec) {
  OpTotals work;
  for (const BatchPiece& piece : batch.pieces) {
    const int64_t end = piece.first_position + piece.n_tokens;
    int64_t pairs = 0; // of query and key
    for (int64_t p = piece.first_position; p < end; ++p) pairs += p + 1 - spec.first_key(p);
    const KvShape& shape = piece.cache->shape();
    const int64_t token_bytes = spec.n_kv_heads * (shape.k_bytes() + shape.v_bytes()) / KV_BLOCK;
    work.bytes += (end - spec.first_key(piece.first_position)) * token_bytes;
    work.float_macs += pairs * spec.n_heads * (spec.head_dim + spec.value_dim());
  }
  return work;
}

} // namespace

/// A device is behind: the first of some calls says when it begins.
void ProfiledKernels::begin() {
  if (on_device_ && laps_.empty()) inner_.begin_laps();
}

void ProfiledKernels::lap(Op op, const OpTotals& work) {
  if (!on_device_) return recording_.lap(op, work);
  inner_.end_lap();
  laps_.push_back({op, work});
}

void ProfiledKernels::lap_of_processor(Op op) {
  if (laps_.empty()) recording_.lap(op);
}

/// What the device took longer than its laps, before, between and behind them, was `rest`.
void ProfiledKernels::settle(Op rest) {
  if (laps_.empty()) return;
  const std::vector<int64_t> ns = inner_.take_laps();
  for (size_t i = 0; i < laps_.size(); ++i) {
    laps_[i].totals.calls = 1;
    laps_[i].totals.ns = ns[i];
  }
  recording_.lap(laps_, rest);
  laps_.clear();
}

void ProfiledKernels::finish() {
  inner_.finish();
  settle(Op::rest);
}

void ProfiledKernels::thin(Rows<const float> logits, const std::vector<Thinning>& how, std::vector<ThinRow>& rows) {
  inner_.thin(logits, how, rows);
  settle(Op::sampling);
}

Op ProfiledKernels::op_of(const Linear& w) const {
  for (const Layer& layer : weights_.layers) {
    if (&w == &layer.qkv || &w == &layer.q) return Op::qkv;
    if (&w == &layer.o) return Op::attn_out;
    if (&w == &layer.gate_up) return Op::gate_up;
    if (&w == &layer.down) return Op::down;
    if (&w == &layer.router || &w == &layer.shared_weight) return Op::gate_up;
  }
  return Op::head;
}

void ProfiledKernels::embed(const Matrix& table, const Batch& batch, float scale, Rows<float> x) {
  lap_of_processor(Op::rest);
  begin();
  inner_.embed(table, batch, scale, x);
  lap(Op::embed);
}

void ProfiledKernels::add_positions(const Matrix& table, const Batch& batch, Rows<float> room, Rows<float> x) {
  begin();
  inner_.add_positions(table, batch, room, x);
  lap(Op::embed);
}

void ProfiledKernels::norm(const Batch& batch, Rows<const float> x, const Norm& norm, const Linear& next, Hidden& h) {
  begin();
  inner_.norm(batch, x, norm, next, h);
  lap(Op::norm);
}

void ProfiledKernels::matmul(const Batch& batch, const Hidden& h, const Linear& w, Rows<float> y) {
  begin();
  inner_.matmul(batch, h, w, y);
  lap(op_of(w), work_of(w, h.rows().rows));
}

void ProfiledKernels::head_norm(const Batch& batch, Rows<float> heads, int64_t head_dim, const Norm& norm) {
  begin();
  inner_.head_norm(batch, heads, head_dim, norm);
  lap(Op::rope);
}

void ProfiledKernels::add_bias(const Batch& batch, const std::vector<float>& bias, Rows<float> y) {
  begin();
  inner_.add_bias(batch, bias, y);
  lap(Op::rest);
}

void ProfiledKernels::clamp(const Batch& batch, float limit, Rows<float> y) {
  begin();
  inner_.clamp(batch, limit, y);
  lap(Op::rest);
}

void ProfiledKernels::scale(const Batch& batch, float factor, Rows<float> y) {
  begin();
  inner_.scale(batch, factor, y);
  lap(Op::rest);
}

void ProfiledKernels::rope_angles(const Batch& batch, const Rotation& rotation, RopeAngles angles) {
  begin();
  inner_.rope_angles(batch, rotation, angles);
  lap(Op::rope);
}

void ProfiledKernels::rope(const Batch& batch, RopePairs pairs, const RopeAngles& angles, int64_t head_dim,
                           Rows<float> heads) {
  begin();
  inner_.rope(batch, pairs, angles, head_dim, heads);
  lap(Op::rope);
}

void ProfiledKernels::store(const Batch& batch, int64_t layer, Rows<const float> k, Rows<const float> v) {
  begin();
  inner_.store(batch, layer, k, v);
  lap(Op::rope);
}

void ProfiledKernels::attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, Rows<const float> q,
                                const Linear& next, Hidden& a) {
  begin();
  inner_.attention(batch, layer, spec, q, next, a);
  lap(Op::attention, work_of(batch, spec));
}

void ProfiledKernels::gated_activation(const Batch& batch, Gate gate, Rows<const float> gate_up, const Linear& next,
                                       Hidden& f) {
  begin();
  inner_.gated_activation(batch, gate, gate_up, next, f);
  lap(Op::activation);
}

void ProfiledKernels::activation(const Batch& batch, Gate gate, Rows<const float> up, const Linear& next, Hidden& f) {
  begin();
  inner_.activation(batch, gate, up, next, f);
  lap(Op::activation);
}

void ProfiledKernels::head_matmul(const Batch& batch, Rows<const float> x, const std::vector<Matrix>& heads,
                                  Hidden& room, Rows<float> y) {
  begin();
  inner_.head_matmul(batch, x, heads, room, y);
  Linear all;
  for (const Matrix& head : heads) all.parts.push_back(&head);
  lap(Op::latents, work_of(all, x.rows));
}

void ProfiledKernels::route(const Batch& batch, const RoutingSpec& spec, Rows<float> scores, Routes& routes) {
  begin();
  inner_.route(batch, spec, scores, routes);
  lap(Op::rest);
}

void ProfiledKernels::experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate,
                              const Hidden& h, ExpertRoom& room, Rows<float> y) {
  begin();
  inner_.experts(batch, routes, experts, gate, h, room, y);
  std::vector<bool> taken(experts.size());
  for (const int32_t e : routes.experts) taken[(size_t)e] = true;
  OpTotals work;
  for (size_t e = 0; e < experts.size(); ++e) {
    if (taken[e]) work.bytes += experts[e].gate.bytes() + experts[e].up.bytes() + experts[e].down.bytes();
  }
  lap(Op::down, work);
}

void ProfiledKernels::add_gated(const Batch& batch, Rows<const float> score, Rows<float> part, Rows<float> y) {
  begin();
  inner_.add_gated(batch, score, part, y);
  lap(Op::rest);
}

void ProfiledKernels::add_residual(const Batch& batch, Rows<float> y, const Norm& norm, Rows<float> x) {
  begin();
  inner_.add_residual(batch, y, norm, x);
  lap(Op::norm);
}

void ProfiledKernels::soft_cap(const Batch& batch, float cap, Rows<float> x) {
  begin();
  inner_.soft_cap(batch, cap, x);
  lap(Op::head);
}

} // namespace nextoken
