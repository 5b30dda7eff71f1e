#include "model/connect.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/exact_math.h"
#include "quant/half.h"

namespace nextoken {
namespace {

constexpr double TWO_PI = 6.283185307179586;

/// What makes two layers' rotations the same.
auto kind(const LayerSpec& l) {
  return std::make_tuple(l.rope_theta, l.rope_scaling, l.rope_factor, l.rope_n_ctx, l.rope_fast, l.rope_slow,
                         l.rope_magnitude, l.rope_log_magnitude, l.rope_whole, l.temperature_length,
                         l.temperature_scale);
}

/// Which share of frequency `c` is kept as it is; the rest is divided by the factor.
double kept_share(const LayerSpec& l, int64_t n_rot, int64_t c, double frequency) {
  if (l.rope_scaling == RopeScaling::llama3) {
    const double turns = (double)l.rope_n_ctx * frequency / TWO_PI;
    return std::clamp((turns - l.rope_slow) / (l.rope_fast - l.rope_slow), 0.0, 1.0);
  }
  const auto index_of_turns = [&](double turns) {
    return (double)n_rot * exact_log((double)l.rope_n_ctx / (turns * TWO_PI)) / (2.0 * exact_log(l.rope_theta));
  };
  double low = index_of_turns(l.rope_fast), high = index_of_turns(l.rope_slow);
  if (l.rope_whole) low = std::floor(low), high = std::ceil(high);
  low = std::max(0.0, low), high = std::min((double)n_rot - 1.0, high);
  return 1.0 - std::clamp(((double)c - low) / std::max(0.001, high - low), 0.0, 1.0);
}

/// RoFormer, Su et al. 2021, arXiv:2104.09864, and its scalings.
std::vector<double> inverse_frequencies(const LayerSpec& l, int64_t n_rot, const std::vector<float>& divisors) {
  std::vector<double> inverse((size_t)(n_rot / 2));
  for (size_t c = 0; c < inverse.size(); ++c) {
    const double frequency = exact_pow(l.rope_theta, -2.0 * (double)c / (double)n_rot);
    inverse[c] = frequency / l.rope_factor;
    if (l.rope_scaling != RopeScaling::linear) {
      const double kept = kept_share(l, n_rot, (int64_t)c, frequency);
      inverse[c] = inverse[c] * (1.0 - kept) + frequency * kept;
    }
    if (!divisors.empty()) inverse[c] /= (double)divisors[c];
  }
  return inverse;
}

/// One a head: a geometric series for a power of two of heads, and for more every other of the one twice as dense.
/// Press et al. 2021, arXiv:2108.12409
std::vector<float> alibi_slopes(const Spec& s) {
  if (s.alibi_bias == 0.0) return {};
  int64_t power = 1;
  while (2 * power <= s.n_heads) power *= 2;
  std::vector<float> slopes;
  for (int64_t i = 0; i < s.n_heads; ++i) {
    const double step = i < power ? (double)(i + 1) : (double)(2 * (i - power) + 1) / 2.0;
    const float slope = (float)exact_pow(2.0, -s.alibi_bias * step / (double)power);
    slopes.push_back(s.alibi_bf16 ? quant::from_bf16(quant::to_bf16(slope)) : slope);
  }
  return slopes;
}

} // namespace

void connect(Model& model) {
  const Spec& s = model.spec;
  Weights& w = model.weights;
  model.slopes = alibi_slopes(s);
  const float* const slopes = model.slopes.empty() ? nullptr : model.slopes.data();
  w.lm_head.parts = {w.head.panels ? &w.head : &w.embedding};
  w.widen.parts = {&w.w_widen};
  w.narrow.parts = {&w.w_narrow};
  std::vector<const LayerSpec*> kinds;
  for (size_t i = 0; i < w.layers.size(); ++i) {
    Layer& layer = w.layers[i];
    const LayerSpec& spec = s.layers[i];
    layer.qkv.parts = {&layer.wq, &layer.wk, &layer.wv};
    if (layer.wqkv.panels) layer.qkv.parts = {&layer.wqkv};
    if (s.latent.rank) {
      layer.q.parts = {&layer.wq};
      layer.qkv.parts = {s.latent.q_rank ? &layer.w_q_a : &layer.wq, &layer.w_kv_a};
    }
    layer.o.parts = {&layer.wo};
    layer.gate_up.parts = {&layer.w_gate, &layer.w_up};
    if (layer.w_gate_up.panels) layer.gate_up.parts = {&layer.w_gate_up};
    layer.down.parts = {&layer.w_down};
    if (!s.gated) layer.gate_up.parts = {&layer.w_up};
    layer.read_by_ffn = layer.gate_up;
    if (s.mixture((int64_t)i)) {
      const ExpertSpec& e = s.experts;
      layer.routing = {e.n_used,
                       e.normalized,
                       e.sigmoid,
                       e.n_groups,
                       e.n_groups_used,
                       (float)e.scale,
                       layer.choice_bias.empty() ? nullptr : layer.choice_bias.data(),
                       e.weighs_input};
      layer.router.parts = {&layer.w_router};
      layer.shared_weight.parts = {&layer.w_shared_weight};
      layer.read_by_ffn.parts = {&layer.w_router, &layer.experts[0].gate, &layer.experts[0].up};
      if (e.shared_ffn_size) {
        for (const Matrix* m : {&layer.w_gate, &layer.w_up}) layer.read_by_ffn.parts.push_back(m);
        if (e.shared_weighted) layer.read_by_ffn.parts.push_back(&layer.w_shared_weight);
      }
    }
    layer.read_by_attn = layer.qkv;
    if (s.residual == Residual::parallel_one_norm) {
      for (const Matrix* m : layer.read_by_ffn.parts) layer.read_by_attn.parts.push_back(m);
    }
    layer.attention = {s.n_heads,
                       s.n_kv_heads,
                       s.head_dim,
                       spec.window,
                       (float)(s.attention_scale * spec.attention_factor),
                       (float)s.attention_soft_cap,
                       slopes,
                       layer.sinks.empty() ? nullptr : layer.sinks.data(),
                       s.latent.rank,
                       spec.chunk,
                       s.alibi_bf16};
    const auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](const LayerSpec* other) { return kind(*other) == kind(spec); });
    layer.rotation = (size_t)(found - kinds.begin());
    if (found == kinds.end()) kinds.push_back(&spec);
  }
  const std::vector<float>& divisors = w.rope_factors.empty() ? s.rope_divisors : w.rope_factors;
  for (const LayerSpec* l : kinds) {
    if (l->temperature_length) {
      const std::vector<double> none((size_t)(s.n_rot / 2)); // an angle of zero: its cosine is what queries grow by
      model.rotations.push_back({none, 1.0, l->temperature_length, l->temperature_scale});
      continue;
    }
    const double magnitude = l->rope_magnitude * (1.0 + l->rope_log_magnitude * exact_log(l->rope_factor));
    model.rotations.push_back({inverse_frequencies(*l, s.n_rot, divisors), magnitude});
  }
}

} // namespace nextoken
