// Mixtures of experts: rows are grouped by the expert they take, so that each expert is read once a pass, and only
// those that some row takes. A row's sums know nothing of the others in its group.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/errors.h"
#include "base/finite.h"
#include "kernels/cpu_kernels.h"

namespace nextoken {
namespace {

constexpr int64_t PANELS_A_TASK = 4;
constexpr float NOT_CHOSEN = -std::numeric_limits<float>::infinity();

/// A group's best expert, or with `two` its two best added up.
float group_score(const float* choice, int64_t n, bool two) {
  float best = NOT_CHOSEN, second = NOT_CHOSEN;
  for (int64_t i = 0; i < n; ++i) {
    second = std::max(second, std::min(best, choice[i]));
    best = std::max(best, choice[i]);
  }
  return two ? best + second : best;
}

} // namespace

void CpuKernels::route(const Batch& batch, const RoutingSpec& spec, Rows<float> scores, Routes& routes) {
  const int64_t n_used = spec.n_used, n_experts = scores.cols, n_groups = spec.n_groups;
  const int64_t group_size = n_experts / n_groups;
  // Sigmoids alone are in the order of the scores, but large ones are all 1.
  const bool by_score = spec.sigmoid && !spec.bias && spec.n_groups_used == n_groups;
  routes.n_used = n_used;
  routes.weighs_input = spec.weighs_input;
  routes.experts.resize((size_t)(scores.rows * n_used));
  routes.weights.resize(routes.experts.size());
  choice_.resize((size_t)(scores.rows * n_experts));
  group_scores_.resize((size_t)(scores.rows * n_groups));
  each_row(batch, scores.rows, [&](int64_t t) {
    float* const p = scores[t];
    if (!all_finite(p, n_experts)) throw NumericalError("the scores of a model's experts are not finite numbers");
    float* const choice = choice_.data() + t * n_experts;
    std::memcpy(choice, p, (size_t)n_experts * 4);
    if (spec.sigmoid) {
      for (int64_t e = 0; e < n_experts; ++e) {
        float pair[2] = {p[e], 0.0f}; // whose softmax is the sigmoid
        table_.softmax(pair, 2, pair);
        p[e] = pair[0];
      }
    } else {
      table_.softmax(p, n_experts, p);
    }
    if (!by_score) std::memcpy(choice, p, (size_t)n_experts * 4);
    if (spec.bias) table_.add(spec.bias, n_experts, choice);
    if (spec.n_groups_used < n_groups) {
      float* const groups = group_scores_.data() + t * n_groups;
      for (int64_t g = 0; g < n_groups; ++g) groups[g] = group_score(choice + g * group_size, group_size, spec.sigmoid);
      for (int64_t i = 0; i < spec.n_groups_used; ++i) groups[table_.argmax(groups, n_groups)] = NOT_CHOSEN;
      for (int64_t g = 0; g < n_groups; ++g) {
        if (groups[g] != NOT_CHOSEN) std::fill_n(choice + g * group_size, group_size, NOT_CHOSEN);
      }
    }
    int32_t* const chosen = routes.experts.data() + t * n_used;
    float* const weights = routes.weights.data() + t * n_used;
    float sum = 0.0f;
    for (int64_t i = 0; i < n_used; ++i) {
      const int64_t best = table_.argmax(choice, n_experts);
      chosen[i] = (int32_t)best;
      weights[i] = p[best];
      sum += p[best];
      choice[best] = NOT_CHOSEN;
    }
    for (int64_t i = 0; i < n_used; ++i) {
      if (spec.normalized) weights[i] /= sum + 1e-20f; // sigmoids may all be zero
      if (spec.scale != 1.0f) weights[i] *= spec.scale;
    }
  });
}

void CpuKernels::run_experts(const Batch& batch, const Hidden& h, int64_t stride) {
  pool_.for_each((int64_t)expert_tasks_.size(), batch.poll, [&](int64_t i, int) {
    const ExpertTask& task = expert_tasks_[(size_t)i];
    const Matrix& m = *task.matrix;
    table_.matmul({m.type, m.panels, m.panel_bytes, m.n_rows, m.k, task.panel_begin, task.panel_end, h.form(m.form),
                   task.row_begin, task.row_end, task.out, stride});
  });
}

void CpuKernels::experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate,
                         const Hidden& h, ExpertRoom& room, Rows<float> y) {
  const int64_t n_used = routes.n_used, pairs = h.rows().rows * n_used, ffn_size = experts[0].gate.n_rows;
  const int64_t n_experts = (int64_t)experts.size();
  // A counting sort by expert: expert e has rows [expert_begin_[e], expert_begin_[e + 1]) of the room.
  expert_begin_.assign((size_t)n_experts + 1, 0);
  for (int64_t i = 0; i < pairs; ++i) ++expert_begin_[(size_t)routes.experts[(size_t)i] + 1];
  for (int64_t e = 0; e < n_experts; ++e) expert_begin_[(size_t)e + 1] += expert_begin_[(size_t)e];
  place_.resize((size_t)pairs);
  std::vector<int64_t> next(expert_begin_.begin(), expert_begin_.end() - 1);
  for (int64_t i = 0; i < pairs; ++i) place_[(size_t)i] = next[(size_t)routes.experts[(size_t)i]]++;

  const auto plan = [&](Matrix Expert::* matrix, float* out) {
    for (int64_t e = 0; e < n_experts; ++e) {
      const int64_t begin = expert_begin_[(size_t)e], end = expert_begin_[(size_t)e + 1];
      const Matrix& m = experts[(size_t)e].*matrix;
      for (int64_t p = 0; begin < end && p < m.n_panels(); p += PANELS_A_TASK) {
        expert_tasks_.push_back({&m, p, std::min(m.n_panels(), p + PANELS_A_TASK), begin, end, out});
      }
    }
  };
  Linear readers, down;
  readers.parts = {&experts[0].gate, &experts[0].up};
  down.parts = {&experts[0].down};
  const unsigned forms = forms_of(readers), down_forms = forms_of(down);

  room.h.reset(pairs, h.rows().cols);
  each_row(batch, pairs, [&](int64_t i) { room.h.copy_row(place_[(size_t)i], h, i / n_used, forms); });
  expert_tasks_.clear();
  plan(&Expert::gate, room.gate_up.data);
  plan(&Expert::up, room.gate_up.data + ffn_size);
  run_experts(batch, room.h, room.gate_up.stride);

  const auto add_bias = [&](const std::vector<float>& bias, float* part) {
    if (!bias.empty()) table_.add(bias.data(), (int64_t)bias.size(), part);
  };
  const Rows<float> f = room.f.reset(pairs, ffn_size);
  each_row(batch, pairs, [&](int64_t i) {
    const Expert& expert = experts[(size_t)routes.experts[(size_t)i]];
    const int64_t place = place_[(size_t)i];
    float* const gate_up = room.gate_up[place];
    if (routes.weighs_input) table_.multiply(routes.weights[(size_t)i], 2 * ffn_size, gate_up);
    add_bias(expert.gate_bias, gate_up);
    add_bias(expert.up_bias, gate_up + ffn_size);
    table_.gated_activation(gate, gate_up, gate_up + ffn_size, ffn_size, f[place]);
    quantize_row(room.f, down_forms, place);
  });
  expert_tasks_.clear();
  plan(&Expert::down, room.y.data);
  run_experts(batch, room.f, room.y.stride);

  each_row(batch, y.rows, [&](int64_t t) {
    for (int64_t i = t * n_used; i < (t + 1) * n_used; ++i) {
      float* const part = room.y[place_[(size_t)i]];
      add_bias(experts[(size_t)routes.experts[(size_t)i]].down_bias, part);
      if (!routes.weighs_input) table_.multiply(routes.weights[(size_t)i], y.cols, part);
      if (i == t * n_used)
        std::memcpy(y[t], part, (size_t)y.cols * 4);
      else
        table_.add(part, y.cols, y[t]);
    }
  });
}

void CpuKernels::add_gated(const Batch& batch, Rows<const float> score, Rows<float> part, Rows<float> y) {
  each_row(batch, y.rows, [&](int64_t t) {
    float pair[2] = {score[t][0], 0.0f}; // whose softmax is the sigmoid
    table_.softmax(pair, 2, pair);
    table_.multiply(pair[0], part.cols, part[t]);
    table_.add(part[t], y.cols, y[t]);
  });
}

} // namespace nextoken
