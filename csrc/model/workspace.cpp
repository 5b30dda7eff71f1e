#include "model/workspace.h"

#include <algorithm>

namespace nextoken {

Workspace::Workspace(const Spec& s, int64_t max_rows, int64_t n_angles, Memory* memory)
    : max_rows(max_rows), vocab_size_(s.vocab_size), memory_(memory) {
  const LatentSpec& l = s.latent;
  const int64_t head_size = s.n_heads * (l.nope_dim + s.n_rot), first_size = l.q_rank ? l.q_rank : head_size;
  const int64_t qkv_size = l.rank ? first_size + s.head_dim : s.q_size() + 2 * s.kv_size(), half_rot = s.n_rot / 2;
  const int64_t latent_size = l.rank ? s.q_size() + s.n_heads * l.value_dim + (l.q_rank ? head_size : 0) : 0;
  const ExpertSpec& e = s.experts;
  const int64_t dense_size = e.n_experts && e.dense_layers.empty() ? 0 : s.ffn_size;
  const int64_t ffn_size = std::max(dense_size, e.n_experts ? e.shared_ffn_size : 0);
  const int64_t routing = e.n_experts ? e.n_experts + 1 + s.hidden_size : 0;
  const int64_t up_size = (s.gated ? 2 : 1) * ffn_size;
  const int64_t streams = s.residual == Residual::sequential ? 2 : 3;
  const int64_t columns =
      streams * s.hidden_size + s.embedding_size + qkv_size + latent_size + up_size + routing + n_angles * 2 * half_rot;
  floats_ = Buffer(memory, max_rows * columns * 4, "the workspace of a pass");
  float* next = floats_.as<float>();
  const auto take = [&](int64_t cols) {
    const Rows<float> rows{next, max_rows, cols, cols};
    next += max_rows * cols;
    return rows;
  };
  x = take(s.hidden_size);
  y = take(s.hidden_size);
  z = s.residual == Residual::sequential ? y : take(s.hidden_size);
  narrow = take(s.embedding_size);
  narrow_h = Hidden(max_rows, s.embedding_size, memory);
  qkv = take(qkv_size);
  if (l.rank) {
    q_latent = {qkv.data, max_rows, l.q_rank, qkv_size};
    k = v = {qkv.data + first_size, max_rows, s.head_dim, qkv_size};
    heads = l.q_rank ? take(head_size) : Rows<float>{qkv.data, max_rows, head_size, qkv_size};
    q = take(s.q_size());
    values = take(s.n_heads * l.value_dim);
    c = Hidden(max_rows, l.q_rank, memory);
    room = Hidden(max_rows * s.n_heads, std::max(l.nope_dim, l.rank), memory);
  } else {
    q = {qkv.data, max_rows, s.q_size(), qkv_size};
    k = {qkv.data + s.q_size(), max_rows, s.kv_size(), qkv_size};
    v = {qkv.data + s.q_size() + s.kv_size(), max_rows, s.kv_size(), qkv_size};
  }
  gate_up = take(up_size);
  for (int64_t i = 0; i < n_angles; ++i) angles.push_back({take(half_rot), take(half_rot)});
  h = Hidden(max_rows, s.hidden_size, memory);
  a = Hidden(max_rows, std::max(s.q_size(), s.n_heads * l.value_dim), memory);
  f = Hidden(max_rows, ffn_size, memory);
  if (e.n_experts == 0) return;
  router = take(e.n_experts);
  shared_weight = take(1);
  shared = take(s.hidden_size);
  const int64_t n = max_rows * e.n_used, pair_columns = 2 * e.ffn_size + s.hidden_size;
  pairs_ = Buffer(memory, n * pair_columns * 4, "the workspace of experts");
  experts.gate_up = {pairs_.as<float>(), n, 2 * e.ffn_size, 2 * e.ffn_size};
  experts.y = {pairs_.as<float>() + n * 2 * e.ffn_size, n, s.hidden_size, s.hidden_size};
  experts.h = Hidden(n, s.hidden_size, memory);
  experts.f = Hidden(n, e.ffn_size, memory);
}

Rows<float> Workspace::logits_rows(int64_t n) {
  if (logits_.size() < n * vocab_size_ * 4) logits_ = Buffer(memory_, n * vocab_size_ * 4, "logits");
  return {logits_.as<float>(), n, vocab_size_, vocab_size_};
}

Rows<float> Workspace::on_processor(Rows<float> logits) {
  if (!memory_) return logits;
  const int64_t bytes = logits.rows * logits.stride * 4;
  if (copied_logits_.size() < bytes) copied_logits_ = Buffer(bytes, "logits");
  memory_->download(copied_logits_.data(), logits.data, bytes);
  return {copied_logits_.as<float>(), logits.rows, logits.cols, logits.stride};
}

void Workspace::resize(int64_t rows) {
  for (Rows<float>* view :
       {&x, &y, &z, &narrow, &qkv, &q, &k, &v, &q_latent, &heads, &values, &gate_up, &router, &shared_weight, &shared})
    view->rows = rows;
  for (RopeAngles& a : angles) a.cos.rows = a.sin.rows = rows;
}

} // namespace nextoken
