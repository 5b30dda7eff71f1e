#include "model/workspace.h"

namespace nextoken {

Workspace::Workspace(const Spec& s, int64_t max_rows, int64_t n_angles)
    : max_rows(max_rows), vocab_size_(s.vocab_size) {
  const int64_t qkv_size = s.q_size() + 2 * s.kv_size(), half_rot = s.n_rot / 2;
  const int64_t columns = 2 * s.hidden_size + qkv_size + 2 * s.ffn_size + n_angles * 2 * half_rot;
  floats_ = Buffer(max_rows * columns * 4, "the workspace of a pass");
  float* next = floats_.as<float>();
  const auto take = [&](int64_t cols) {
    const Rows<float> rows{next, max_rows, cols, cols};
    next += max_rows * cols;
    return rows;
  };
  x = take(s.hidden_size);
  y = take(s.hidden_size);
  qkv = take(qkv_size);
  q = {qkv.data, max_rows, s.q_size(), qkv_size};
  k = {qkv.data + s.q_size(), max_rows, s.kv_size(), qkv_size};
  v = {qkv.data + s.q_size() + s.kv_size(), max_rows, s.kv_size(), qkv_size};
  gate_up = take(2 * s.ffn_size);
  for (int64_t i = 0; i < n_angles; ++i) angles.push_back({take(half_rot), take(half_rot)});
  h = Hidden(max_rows, s.hidden_size);
  a = Hidden(max_rows, s.q_size());
  f = Hidden(max_rows, s.ffn_size);
}

Rows<float> Workspace::logits_rows(int64_t n) {
  if (logits_.size() < n * vocab_size_ * 4) logits_ = Buffer(n * vocab_size_ * 4, "logits");
  return {logits_.as<float>(), n, vocab_size_, vocab_size_};
}

void Workspace::resize(int64_t rows) {
  for (Rows<float>* view : {&x, &y, &qkv, &q, &k, &v, &gate_up}) view->rows = rows;
  for (RopeAngles& a : angles) a.cos.rows = a.sin.rows = rows;
}

} // namespace nextoken
