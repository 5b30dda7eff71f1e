// Which roles a spec asks for, and their shapes.
#include "model/plan.h"

namespace nextoken {
namespace {

void plan_attention(const Spec& s, bool rotates, const std::string& prefix, Plan& plan, Layer& layer) {
  if (plan.has(prefix + "qkv")) {
    plan.matrix(prefix + "qkv", s.q_size() + 2 * s.kv_size(), s.hidden_size, layer.wqkv);
  } else {
    plan.matrix(prefix + "q", s.q_size(), s.hidden_size, layer.wq);
    plan.matrix(prefix + "k", s.kv_size(), s.hidden_size, layer.wk);
    plan.matrix(prefix + "v", s.kv_size(), s.hidden_size, layer.wv);
  }
  if (plan.has(prefix + "qkv_bias"))
    plan.biases({{prefix + "qkv_bias", s.q_size() + 2 * s.kv_size()}}, layer.qkv_bias);
  else
    plan.biases({{prefix + "q_bias", s.q_size()}, {prefix + "k_bias", s.kv_size()}, {prefix + "v_bias", s.kv_size()}},
                layer.qkv_bias);
  plan.matrix(prefix + "o", s.hidden_size, s.q_size(), layer.wo);
  plan.biases({{prefix + "o_bias", s.hidden_size}}, layer.o_bias);
  if (plan.has(prefix + "sinks")) plan.vector(prefix + "sinks", s.n_heads, layer.sinks);
  if (s.qk_norm == QKNorm::none) return;
  if (s.qk_norm == QKNorm::unweighted) {
    if (rotates)
      layer.q_norm = layer.k_norm = {s.norm, (float)s.norm_eps, std::vector<float>((size_t)s.head_dim, 1.0f), {}};
    return;
  }
  const bool per_head = s.qk_norm == QKNorm::per_head;
  const auto norm = [&](const std::string& role, int64_t n_heads, Norm& norm) {
    if (plan.has(role + ".0"))
      plan.norms(s, role, n_heads, s.head_dim, norm);
    else
      plan.norm(s, role, per_head ? s.head_dim : n_heads * s.head_dim, norm);
  };
  norm(prefix + "q_norm", s.n_heads, layer.q_norm);
  norm(prefix + "k_norm", s.n_kv_heads, layer.k_norm);
}

void plan_latents(const Spec& s, const std::string& prefix, Plan& plan, Layer& layer) {
  const LatentSpec& l = s.latent;
  const auto norm = [&](const std::string& role, int64_t n, Norm& norm) {
    plan.norm(s, prefix + role, n, norm);
    norm.eps = (float)l.norm_eps;
  };
  const int64_t q_size = s.n_heads * (l.nope_dim + s.n_rot), first_size = l.q_rank ? l.q_rank : q_size;
  if (l.q_rank) {
    plan.matrix(prefix + "q_a", l.q_rank, s.hidden_size, layer.w_q_a);
    norm("q_a_norm", l.q_rank, layer.q_latent_norm);
    plan.matrix(prefix + "q_b", q_size, l.q_rank, layer.wq);
  } else {
    plan.matrix(prefix + "q", q_size, s.hidden_size, layer.wq);
  }
  plan.matrix(prefix + "kv_a", s.head_dim, s.hidden_size, layer.w_kv_a);
  plan.biases({{prefix + (l.q_rank ? "q_a_bias" : "q_bias"), first_size}, {prefix + "kv_a_bias", s.head_dim}},
              layer.qkv_bias);
  norm("kv_a_norm", l.rank, layer.latent_norm);
  plan.heads(prefix + "k_b", s.n_heads, l.rank, l.nope_dim, layer.k_b);
  plan.heads(prefix + "v_b", s.n_heads, l.value_dim, l.rank, layer.v_b);
  plan.matrix(prefix + "o", s.hidden_size, s.n_heads * l.value_dim, layer.wo);
  plan.biases({{prefix + "o_bias", s.hidden_size}}, layer.o_bias);
}

void plan_experts(const Spec& s, const std::string& prefix, Plan& plan, Layer& layer) {
  const ExpertSpec& e = s.experts;
  layer.experts.resize((size_t)e.n_experts);
  plan.matrix(prefix + "router", e.n_experts, s.hidden_size, layer.w_router);
  plan.experts(prefix + "expert_gate", e.ffn_size, s.hidden_size, layer.experts, &Expert::gate);
  plan.experts(prefix + "expert_up", e.ffn_size, s.hidden_size, layer.experts, &Expert::up);
  plan.experts(prefix + "expert_down", s.hidden_size, e.ffn_size, layer.experts, &Expert::down);
  plan.biases({{prefix + "router_bias", e.n_experts}}, layer.router_bias);
  plan.biases({{prefix + "choice_bias", e.n_experts}}, layer.choice_bias);
  plan.expert_biases(prefix + "expert_gate_bias", e.ffn_size, layer.experts, &Expert::gate_bias);
  plan.expert_biases(prefix + "expert_up_bias", e.ffn_size, layer.experts, &Expert::up_bias);
  plan.expert_biases(prefix + "expert_down_bias", s.hidden_size, layer.experts, &Expert::down_bias);
  if (e.shared_ffn_size == 0) return;
  if (e.shared_weighted) plan.matrix(prefix + "shared_weight", 1, s.hidden_size, layer.w_shared_weight);
  plan.matrix(prefix + "shared_gate", e.shared_ffn_size, s.hidden_size, layer.w_gate);
  plan.matrix(prefix + "shared_up", e.shared_ffn_size, s.hidden_size, layer.w_up);
  plan.matrix(prefix + "shared_down", s.hidden_size, e.shared_ffn_size, layer.w_down);
}

void plan_feed_forward(const Spec& s, const std::string& prefix, Plan& plan, Layer& layer) {
  if (plan.has(prefix + "gate_up")) {
    plan.matrix(prefix + "gate_up", 2 * s.ffn_size, s.hidden_size, layer.w_gate_up);
  } else {
    if (s.gated) plan.matrix(prefix + "gate", s.ffn_size, s.hidden_size, layer.w_gate);
    plan.matrix(prefix + "up", s.ffn_size, s.hidden_size, layer.w_up);
  }
  if (s.gated)
    plan.biases({{prefix + "gate_bias", s.ffn_size}, {prefix + "up_bias", s.ffn_size}}, layer.gate_up_bias);
  else
    plan.biases({{prefix + "up_bias", s.ffn_size}}, layer.gate_up_bias);
  plan.matrix(prefix + "down", s.hidden_size, s.ffn_size, layer.w_down);
  plan.biases({{prefix + "down_bias", s.hidden_size}}, layer.down_bias);
}

} // namespace

void plan_weights(const Spec& s, Plan& plan, Weights& w) {
  plan.matrix("embedding", s.vocab_size, s.token_size(), w.embedding);
  if (plan.has("lm_head")) plan.matrix("lm_head", s.vocab_size, s.token_size(), w.head);
  if (s.embedding_size) {
    plan.matrix("widen", s.hidden_size, s.embedding_size, w.w_widen);
    plan.matrix("narrow", s.embedding_size, s.hidden_size, w.w_narrow);
  }
  plan.biases({{"lm_head_bias", s.vocab_size}}, w.lm_head_bias);
  if (plan.has("positions")) plan.matrix("positions", s.n_ctx, s.hidden_size, w.positions);
  if (plan.has("embedding_norm")) plan.norm(s, "embedding_norm", s.hidden_size, w.embedding_norm);
  if (s.stream_norms != StreamNorms::behind) plan.norm(s, "final_norm", s.hidden_size, w.final_norm);
  if (plan.has("rope_factors")) plan.vector("rope_factors", s.n_rot / 2, w.rope_factors, LEAST_ROPE_DIVISOR);
  w.layers.resize((size_t)s.n_layers());
  for (size_t i = 0; i < w.layers.size(); ++i) {
    Layer& layer = w.layers[i];
    const std::string prefix = "layers." + std::to_string(i) + ".";
    if (s.latent.rank)
      plan_latents(s, prefix, plan, layer);
    else
      plan_attention(s, s.layers[i].rotates, prefix, plan, layer);
    if (s.mixture((int64_t)i))
      plan_experts(s, prefix, plan, layer);
    else
      plan_feed_forward(s, prefix, plan, layer);
    if (s.stream_norms != StreamNorms::none) {
      plan.norm(s, prefix + "attn_norm", s.hidden_size, layer.attn_stream_norm);
      plan.norm(s, prefix + "ffn_norm", s.hidden_size, layer.ffn_stream_norm);
    }
    if (s.pre_norms) {
      plan.norm(s, prefix + "attn_norm", s.hidden_size, layer.attn_norm);
      if (s.residual != Residual::parallel_one_norm) plan.norm(s, prefix + "ffn_norm", s.hidden_size, layer.ffn_norm);
    }
    if (s.post_norms) {
      plan.norm(s, prefix + "attn_post_norm", s.hidden_size, layer.attn_post_norm);
      plan.norm(s, prefix + "ffn_post_norm", s.hidden_size, layer.ffn_post_norm);
    }
  }
  plan.require_complete();
}

} // namespace nextoken
