#include "model/forward.h"

namespace nextoken {
namespace {

/// q and k [T, (H + G) d], each head or all of them normed
void norm_queries_and_keys(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w) {
  const bool whole = spec.qk_norm == QKNorm::whole;
  k.head_norm(batch, w.q, whole ? spec.q_size() : spec.head_dim, layer.q_norm);
  k.head_norm(batch, w.k, whole ? spec.kv_size() : spec.head_dim, layer.k_norm);
}

/// y [T, D] = o(attention of h's queries over the cache, into which h's keys and values go)
void attend(const Model& model, int64_t i, Kernels& k, const Batch& batch, Workspace& w) {
  const Spec& spec = model.spec;
  const Layer& layer = model.weights.layers[(size_t)i];
  const bool normed = spec.qk_norm != QKNorm::none;
  k.matmul(batch, w.h, layer.qkv, w.qkv); // q|k|v  [T, (H + 2G) d]
  k.add_bias(batch, layer.qkv_bias, w.qkv);
  if (spec.clip_qkv != 0.0) k.clamp(batch, (float)spec.clip_qkv, w.qkv);
  if (normed && !spec.qk_norm_rotated) norm_queries_and_keys(spec, layer, k, batch, w);
  if (spec.layers[(size_t)i].rotates) {
    const RopeAngles& angles = w.angles[layer.rotation];
    k.rope(batch, spec.rope_pairs, angles, spec.head_dim, w.q);
    k.rope(batch, spec.rope_pairs, angles, spec.head_dim, w.k);
  }
  if (normed && spec.qk_norm_rotated) norm_queries_and_keys(spec, layer, k, batch, w);
  k.store(batch, i, w.k, w.v);                               // into paged blocks
  k.attention(batch, i, layer.attention, w.q, layer.o, w.a); // a      [T, H d]
  k.matmul(batch, w.a, layer.o, w.y);                        // y      [T, D]
  k.add_bias(batch, layer.o_bias, w.y);
}

/// y [T, D] = down(gate(gate h) * (up h)), or down(gate(up h))
void feed_forward(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w, Rows<float> y) {
  k.matmul(batch, w.h, layer.gate_up, w.gate_up); // [T, 2F], or [T, F]
  k.add_bias(batch, layer.gate_up_bias, w.gate_up);
  if (spec.gated)
    k.gated_activation(batch, spec.gate, w.gate_up, layer.down, w.f); // f      [T, F]
  else
    k.activation(batch, spec.gate, w.gate_up, layer.down, w.f);
  k.matmul(batch, w.f, layer.down, y);
  k.add_bias(batch, layer.down_bias, y);
}

void mixture_of_experts(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w,
                        Rows<float> y) {
  const ExpertSpec& e = spec.experts;
  k.matmul(batch, w.h, layer.router, w.router); // [T, E]
  k.add_bias(batch, layer.router_bias, w.router);
  k.route(batch, e.n_used, e.normalized, w.router, w.routes);
  k.experts(batch, w.routes, layer.experts, spec.gate, w.h, w.experts, y);
  if (e.shared_ffn_size == 0) return;
  k.matmul(batch, w.h, layer.shared_weight, w.shared_weight); // [T, 1]
  feed_forward(spec, layer, k, batch, w, w.shared);
  k.add_gated(batch, w.shared_weight, w.shared, y);
}

} // namespace

void forward(const Model& model, Kernels& k, const Batch& batch, Workspace& w) {
  const Spec& spec = model.spec;
  const Weights& weights = model.weights;
  const bool parallel = spec.residual != Residual::sequential;
  w.resize(batch.size());

  k.embed(weights.embedding, batch, (float)spec.embedding_scale, w.x); // x      [T, D]
  if (weights.positions.panels) k.add_positions(weights.positions, batch, w.y, w.x);
  if (!weights.embedding_norm.weight.empty()) k.head_norm(batch, w.x, spec.hidden_size, weights.embedding_norm);
  for (size_t i = 0; i < model.rotations.size(); ++i) {
    k.rope_angles(batch, model.rotations[i].inverse_frequencies, model.rotations[i].magnitude, w.angles[i]);
  }
  for (int64_t i = 0; i < spec.n_layers(); ++i) {
    const Layer& layer = weights.layers[(size_t)i];

    k.norm(batch, w.x, layer.attn_norm, layer.read_by_attn, w.h); // h      [T, D], quantised once for q, k, v
    attend(model, i, k, batch, w);                                // y      [T, D]
    k.scale(batch, (float)spec.residual_scale, w.y);
    if (!parallel) k.add_residual(batch, w.y, layer.attn_post_norm, w.x); // x += norm(y), or y

    if (spec.residual != Residual::parallel_one_norm) k.norm(batch, w.x, layer.ffn_norm, layer.read_by_ffn, w.h);
    if (spec.experts.n_experts)
      mixture_of_experts(spec, layer, k, batch, w, w.z);
    else
      feed_forward(spec, layer, k, batch, w, w.z); // z      [T, D], the memory of y unless parallel
    k.scale(batch, (float)spec.residual_scale, w.z);
    if (parallel) k.add_residual(batch, w.y, layer.attn_post_norm, w.x);
    k.add_residual(batch, w.z, layer.ffn_post_norm, w.x);
  }
}

void project_logits(const Model& model, Kernels& k, const Batch& batch, Rows<const float> x, Workspace& w,
                    Rows<float> logits) {
  const Weights& weights = model.weights;
  k.norm(batch, x, weights.final_norm, weights.lm_head, w.h);
  k.matmul(batch, w.h, weights.lm_head, logits);
  k.add_bias(batch, weights.lm_head_bias, logits);
  k.scale(batch, (float)model.spec.logit_scale, logits);
  if (model.spec.logit_soft_cap != 0.0) k.soft_cap(batch, (float)model.spec.logit_soft_cap, logits);
}

} // namespace nextoken
