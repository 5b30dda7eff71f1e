// Mixtures of experts of the kernel set on a card: the processor reads the scores and groups rows by the expert they
// take, as CpuKernels does, so that each expert is read once a pass.
#include <algorithm>

#include "base/errors.h"
#include "kernels/cuda/card.h"
#include "kernels/cuda/cuda_kernels.h"

namespace nextoken::cuda {
namespace {

/// Rows from `first` on.
Activations from_row(Activations a, int64_t first) {
  if (a.x) a.x += first * a.x_stride;
  if (a.codes) a.codes += first * a.codes_stride;
  if (a.scale) a.scale += first * a.scale_stride;
  if (a.scaled_sum) a.scaled_sum += first * a.scale_stride;
  if (a.sum) a.sum += first * a.sum_stride;
  return a;
}

/// The index of the largest, the first of equals; -1 if all are NaN.
int64_t best_of(const float* p, int64_t n) {
  int64_t best = -1;
  for (int64_t i = 0; i < n; ++i) {
    if (best < 0 ? p[i] == p[i] : p[i] > p[best]) best = i;
  }
  return best;
}

} // namespace

/// Models that need it are refused when they are loaded.
void CudaKernels::head_matmul(const Batch&, Rows<const float>, const std::vector<Matrix>&, Hidden&, Rows<float>) {
  throw UnsupportedError("latent attention is not computed on a card yet");
}

/// A softmax and its best, as loading has made sure.
void CudaKernels::route(const Batch&, const RoutingSpec& spec, Rows<float> scores, Routes& routes) {
  const int64_t n_used = spec.n_used;
  queue_.run_at_once();
  softmax(queue_, {scores.data, scores.data, scores.cols}, scores.rows);
  shares_.resize((size_t)(scores.rows * scores.cols));
  card_.download(shares_.data(), scores.data, (int64_t)shares_.size() * 4);
  card_.check();
  routes.n_used = n_used;
  routes.experts.resize((size_t)(scores.rows * n_used));
  routes.weights.resize(routes.experts.size());
  for (int64_t t = 0; t < scores.rows; ++t) {
    float* const p = shares_.data() + t * scores.cols;
    float* const weights = routes.weights.data() + t * n_used;
    float sum = 0.0f;
    for (int64_t i = 0; i < n_used; ++i) {
      const int64_t best = best_of(p, scores.cols);
      if (best < 0) throw NumericalError("the scores of a model's experts are not finite numbers");
      routes.experts[(size_t)(t * n_used + i)] = (int32_t)best;
      weights[i] = p[best];
      sum += p[best];
      p[best] = -1.0f; // below any other
    }
    for (int64_t i = 0; spec.normalized && i < n_used; ++i) weights[i] /= sum;
  }
}

/// Matrix `member` of each expert times the rows that take it, rows `expert_begin_` of h.
void CudaKernels::multiply_experts(const std::vector<Expert>& experts, Matrix Expert::* member, const Hidden& h,
                                   Rows<float> out) {
  for (size_t e = 0; e < experts.size(); ++e) {
    const int64_t begin = expert_begin_[e], end = expert_begin_[e + 1];
    if (begin == end) continue;
    const Matrix& m = experts[e].*member;
    MatmulArgs args{};
    args.parts[0] = {m.panels, m.panel_bytes, m.n_rows, 0, 0};
    args.n_parts = 1;
    args.k = m.k;
    args.n_tokens = end - begin;
    args.in = from_row(h.form(m.form), begin);
    args.out = out[begin];
    args.out_stride = out.stride;
    cuda::matmul(queue_, m.type, args, m.n_panels());
  }
}

/// Rows of an expert in the room plus its bias.
void CudaKernels::add_expert_biases(const std::vector<Expert>& experts, std::vector<float> Expert::* member,
                                    Rows<float> to) {
  for (size_t e = 0; e < experts.size(); ++e) {
    const std::vector<float>& bias = experts[e].*member;
    const int64_t begin = expert_begin_[e], end = expert_begin_[e + 1];
    if (bias.empty() || begin == end) continue;
    cuda::elementwise(queue_, {ElementwiseKernel::Op::add, to[begin], to.stride, to.cols, weights(bias), 0, 0.0f},
                      end - begin);
  }
}

void CudaKernels::experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate,
                          const Hidden& h, ExpertRoom& room, Rows<float> y) {
  if (batch.poll) (*batch.poll)();
  const int64_t n_used = routes.n_used, rows = h.rows().rows, pairs = rows * n_used;
  const int64_t hidden_size = h.rows().cols, ffn_size = experts[0].gate.n_rows;
  // A counting sort by expert: where each pair's row stands, and which row of h stands there.
  expert_begin_.assign(experts.size() + 1, 0);
  for (int64_t i = 0; i < pairs; ++i) ++expert_begin_[(size_t)routes.experts[(size_t)i] + 1];
  for (size_t e = 0; e < experts.size(); ++e) expert_begin_[e + 1] += expert_begin_[e];
  std::vector<int64_t> next(expert_begin_.begin(), expert_begin_.end() - 1), place((size_t)pairs),
      source((size_t)pairs);
  for (int64_t i = 0; i < pairs; ++i) {
    place[(size_t)i] = next[(size_t)routes.experts[(size_t)i]]++;
    source[(size_t)place[(size_t)i]] = i / n_used;
  }
  tell(told_expert_places_, place);
  tell(told_expert_rows_, source);
  tell(told_expert_weights_, routes.weights);

  Linear readers, down;
  readers.parts = {&experts[0].gate, &experts[0].up};
  down.parts = {&experts[0].down};
  // A row's forms are a function of its floats: made anew, they are those of h.
  const Forms in = forms(room.h, pairs, hidden_size, readers);
  const Rows<float> from = h.rows();
  convert(queue_,
          {ConvertKernel::Of::rows, Gate::silu, from.data, nullptr, from.stride, in, told_expert_rows_.as<int64_t>()},
          pairs);
  const Rows<float> gate_up = room.gate_up;
  const Rows<float> gates{gate_up.data, pairs, ffn_size, gate_up.stride};
  const Rows<float> ups{gate_up.data + ffn_size, pairs, ffn_size, gate_up.stride};
  multiply_experts(experts, &Expert::gate, room.h, gates);
  multiply_experts(experts, &Expert::up, room.h, ups);
  add_expert_biases(experts, &Expert::gate_bias, gates);
  add_expert_biases(experts, &Expert::up_bias, ups);
  const Forms middle = forms(room.f, pairs, ffn_size, down);
  convert(queue_,
          {ConvertKernel::Of::gated, gate, gate_up.data, gate_up.data + ffn_size, gate_up.stride, middle, nullptr},
          pairs);
  multiply_experts(experts, &Expert::down, room.f, room.y);
  add_expert_biases(experts, &Expert::down_bias, room.y);
  combine(queue_,
          {room.y.data, room.y.stride, y.cols, n_used, told_expert_places_.as<int64_t>(),
           told_expert_weights_.as<float>(), y.data, y.stride},
          y.rows);
}

void CudaKernels::add_gated(const Batch&, Rows<const float> score, Rows<float> part, Rows<float> y) {
  cuda::add_gated(queue_, {score.data, score.stride, part.data, part.stride, y.cols, y.data, y.stride}, y.rows);
}

} // namespace nextoken::cuda
