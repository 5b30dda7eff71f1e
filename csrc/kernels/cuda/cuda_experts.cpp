// Mixtures of experts of the kernel set on a card. Which expert a row takes is read by kernels alone, so that a step is
// launched without waiting for it.
#include <algorithm>

#include "kernels/cuda/card.h"
#include "kernels/cuda/cuda_kernels.h"

namespace nextoken::cuda {
namespace {

/// How many tokens a block of threads takes at once.
int64_t group_tokens(int64_t rows, int64_t n_used, const std::vector<Expert>& experts) {
  if (rows == 1) return FEW_TOKENS;
  for (const Matrix* m : {&experts[0].gate, &experts[0].up, &experts[0].down}) {
    if (!has_tiles(m->type)) return MANY_TOKENS;
  }
  return rows * n_used > MANY_TOKENS * (int64_t)experts.size() ? GROUP_TOKENS : MANY_TOKENS;
}

} // namespace

CudaKernels::Routed CudaKernels::routed(int64_t rows, int64_t n_used) {
  const int64_t pairs = rows * n_used;
  constexpr int64_t PAIR_BYTES = 2 * sizeof(int64_t) + sizeof(MatmulGroup) + 2 * sizeof(int32_t) + sizeof(float);
  if (routed_.size() < pairs * PAIR_BYTES) {
    queue_.flush(); // to what is freed here
    routed_ = Buffer(&card_, 2 * pairs * PAIR_BYTES, "the routes of a pass");
  }
  Routed r{};
  r.places = routed_.as<int64_t>();
  r.rows = r.places + pairs;
  r.groups = (MatmulGroup*)(r.rows + pairs);
  r.experts = (int32_t*)(r.groups + pairs);
  r.expert_of = r.experts + pairs;
  r.weights = (float*)(r.expert_of + pairs);
  return r;
}

void CudaKernels::route(const Batch& batch, const RoutingSpec& spec, Rows<float> scores, Routes& routes) {
  const Routed r = routed(scores.rows, spec.n_used);
  const bool one = scores.rows == 1;
  cuda::route(queue_,
              {scores.data, scores.stride, scores.cols, spec.n_used, spec.n_groups, spec.n_groups_used, spec.sigmoid,
               spec.normalized, spec.scale, spec.bias ? weights(spec.bias, scores.cols) : nullptr, r.experts, r.weights,
               one ? r.groups : nullptr, r.places, failed_.as<int>()},
              scores.rows);
  routes.n_used = spec.n_used;
  routes.weighs_input = spec.weighs_input;
  routes.experts.clear();
  if (!batch.op_by_op) return;
  routes.experts.resize((size_t)(scores.rows * spec.n_used)); // for who counts what is read
  card_.download(routes.experts.data(), r.experts, (int64_t)routes.experts.size() * 4);
}

/// Of each type that the experts' `member` has, the first.
const std::vector<const Matrix*>& CudaKernels::of_each_type(const std::vector<Expert>& experts,
                                                            Matrix Expert::* member) {
  std::vector<const Matrix*>& firsts = of_each_type_[&(experts[0].*member)];
  if (!firsts.empty()) return firsts;
  for (const Expert& expert : experts) {
    const Matrix& m = expert.*member;
    const auto same = [&](const Matrix* first) { return first->type == m.type; };
    if (std::none_of(firsts.begin(), firsts.end(), same)) firsts.push_back(&m);
  }
  return firsts;
}

/// Matrix `member` of each expert that has it of the type of `like`, and null of others.
const uint8_t* const* CudaKernels::panels_of(const std::vector<Expert>& experts, Matrix Expert::* member,
                                             const Matrix& like) {
  return table<const uint8_t*>(&like, [&] {
    std::vector<const uint8_t*> panels;
    for (const Expert& e : experts) panels.push_back((e.*member).type == like.type ? (e.*member).panels : nullptr);
    return panels;
  });
}

/// y = h w^T, the experts' matrices `members` side by side; where one is not of the same type in all experts, each
/// type of each member is a launch.
void CudaKernels::multiply_experts(const std::vector<Expert>& experts, const std::vector<Matrix Expert::*>& members,
                                   const Hidden& h, Rows<float> y, const MatmulArgs& args) {
  const auto mixed = [&](Matrix Expert::* member) { return of_each_type(experts, member).size() > 1; };
  if (std::none_of(members.begin(), members.end(), mixed)) {
    Linear w;
    std::vector<const uint8_t* const*> panels;
    for (Matrix Expert::* const member : members) {
      w.parts.push_back(&(experts[0].*member));
      panels.push_back(panels_of(experts, member, experts[0].*member));
    }
    return multiply(w, h, panels, y, args);
  }
  int64_t column = 0;
  for (Matrix Expert::* const member : members) {
    for (const Matrix* const like : of_each_type(experts, member)) {
      Linear w;
      w.parts = {like};
      multiply(w, h, {panels_of(experts, member, *like)}, {y.data + column, y.rows, like->n_rows, y.stride}, args);
    }
    column += (experts[0].*member).n_rows;
  }
}

/// y += the bias of each row's expert.
void CudaKernels::add_expert_biases(const std::vector<Expert>& experts, std::vector<float> Expert::* member,
                                    const int32_t* expert_of, Rows<float> y) {
  if ((experts[0].*member).empty()) return;
  const float* const biases = table<float>(&(experts[0].*member), [&] {
    std::vector<float> all;
    for (const Expert& expert : experts) all.insert(all.end(), (expert.*member).begin(), (expert.*member).end());
    return all;
  });
  cuda::elementwise(queue_, {ElementwiseKernel::Op::add, y.data, y.stride, y.cols, biases, y.cols, 0.0f, expert_of},
                    y.rows);
}

void CudaKernels::experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate,
                          const Hidden& h, ExpertRoom& room, Rows<float> y) {
  if (batch.poll) (*batch.poll)();
  const int64_t n_used = routes.n_used, rows = h.rows().rows, pairs = rows * n_used, n = (int64_t)experts.size();
  const int64_t hidden_size = h.rows().cols, ffn_size = experts[0].gate.n_rows;
  const Routed r = routed(rows, n_used);
  Linear readers, down;
  readers.parts = {&experts[0].gate, &experts[0].up};
  down.parts = {&experts[0].down};
  MatmulArgs args{};
  args.groups = r.groups;
  args.group_tokens = group_tokens(rows, n_used, experts);
  args.n_groups = rows == 1 ? pairs : GroupKernel::most_groups(pairs, n, args.group_tokens);
  if (rows > 1) {
    group(queue_,
          {r.experts, pairs, n_used, n, args.group_tokens, r.places, r.rows, r.expert_of, r.groups, args.n_groups});
    // A row's forms are a function of its floats: made anew, they are those of h.
    const Rows<float> from = h.rows();
    const Forms in = forms(room.h, pairs, hidden_size, readers);
    convert(queue_, {ConvertKernel::Of::rows, Gate::silu, from.data, nullptr, from.stride, in, r.rows}, pairs);
  }
  const int32_t* const expert_of = rows == 1 ? r.experts : r.expert_of;
  const Rows<float> gate_up = room.gate_up;
  const Rows<float> gates{gate_up.data, pairs, ffn_size, gate_up.stride};
  const Rows<float> ups{gate_up.data + ffn_size, pairs, ffn_size, gate_up.stride};
  multiply_experts(experts, {&Expert::gate, &Expert::up}, rows == 1 ? h : room.h, gates, args);
  if (routes.weighs_input) weigh(queue_, {gate_up.data, gate_up.stride, 2 * ffn_size, r.places, r.weights}, pairs);
  add_expert_biases(experts, &Expert::gate_bias, expert_of, gates);
  add_expert_biases(experts, &Expert::up_bias, expert_of, ups);
  const Forms middle = forms(room.f, pairs, ffn_size, down);
  convert(queue_,
          {ConvertKernel::Of::gated, gate, gate_up.data, gate_up.data + ffn_size, gate_up.stride, middle, nullptr},
          pairs);
  const Rows<float> parts{room.y.data, pairs, y.cols, room.y.stride};
  multiply_experts(experts, {&Expert::down}, room.f, parts, args);
  add_expert_biases(experts, &Expert::down_bias, expert_of, parts);
  combine(
      queue_,
      {parts.data, parts.stride, y.cols, n_used, r.places, routes.weighs_input ? nullptr : r.weights, y.data, y.stride},
      y.rows);
}

void CudaKernels::add_gated(const Batch&, Rows<const float> score, Rows<float> part, Rows<float> y) {
  cuda::add_gated(queue_, {score.data, score.stride, part.data, part.stride, y.cols, y.data, y.stride}, y.rows);
}

} // namespace nextoken::cuda
