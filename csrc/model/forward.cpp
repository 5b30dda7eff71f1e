#include "model/forward.h"

namespace nextoken {
namespace {

/// y [T, D] = down(gate(gate h) * (up h))
void feed_forward(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w, Rows<float> y) {
  k.matmul(batch, w.h, layer.gate_up, w.gate_up); // [T, 2F]
  k.add_bias(batch, layer.gate_up_bias, w.gate_up);
  k.gated_activation(batch, spec.gate, w.gate_up, layer.down, w.f); // f      [T, F]
  k.matmul(batch, w.f, layer.down, y);
  k.add_bias(batch, layer.down_bias, y);
}

void mixture_of_experts(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w) {
  const ExpertSpec& e = spec.experts;
  k.matmul(batch, w.h, layer.router, w.router); // [T, E]
  k.route(batch, e.n_used, e.normalized, w.router, w.routes);
  k.experts(batch, w.routes, layer.experts, spec.gate, w.h, w.experts, w.y);
  if (e.shared_ffn_size == 0) return;
  k.matmul(batch, w.h, layer.shared_weight, w.shared_weight); // [T, 1]
  feed_forward(spec, layer, k, batch, w, w.shared);
  k.add_gated(batch, w.shared_weight, w.shared, w.y);
}

} // namespace

void forward(const Model& model, Kernels& k, const Batch& batch, Workspace& w) {
  const Spec& spec = model.spec;
  const float eps = (float)spec.norm_eps;
  w.resize(batch.size());

  k.embed(model.weights.embedding, batch, (float)spec.embedding_scale, w.x); // x      [T, D]
  for (size_t i = 0; i < model.rotations.size(); ++i) {
    k.rope_angles(batch, model.rotations[i].inverse_frequencies, model.rotations[i].magnitude, w.angles[i]);
  }
  for (int64_t i = 0; i < spec.n_layers(); ++i) {
    const Layer& layer = model.weights.layers[(size_t)i];
    const RopeAngles& angles = w.angles[layer.rotation];

    k.norm(batch, w.x, {layer.attn_norm, eps}, layer.qkv, w.h); // h      [T, D], quantised once for q, k, v
    k.matmul(batch, w.h, layer.qkv, w.qkv);                     // q|k|v  [T, (H + 2G) d]
    k.add_bias(batch, layer.qkv_bias, w.qkv);
    if (spec.qk_norm != QKNorm::none) {
      const bool whole = spec.qk_norm == QKNorm::whole;
      k.head_norm(batch, w.q, whole ? spec.q_size() : spec.head_dim, {layer.q_norm, eps});
      k.head_norm(batch, w.k, whole ? spec.kv_size() : spec.head_dim, {layer.k_norm, eps});
    }
    if (spec.layers[(size_t)i].rotates) {
      k.rope(batch, spec.rope_pairs, angles, spec.head_dim, w.q);
      k.rope(batch, spec.rope_pairs, angles, spec.head_dim, w.k);
    }
    k.store(batch, i, w.k, w.v);                               // into paged blocks
    k.attention(batch, i, layer.attention, w.q, layer.o, w.a); // a      [T, H d]
    k.matmul(batch, w.a, layer.o, w.y);                        // y      [T, D]
    k.add_bias(batch, layer.o_bias, w.y);
    k.scale(batch, (float)spec.residual_scale, w.y);
    k.add_residual(batch, w.y, {layer.attn_post_norm, eps}, w.x); // x += norm(y), or y

    k.norm(batch, w.x, {layer.ffn_norm, eps}, layer.ffn, w.h);
    if (spec.experts.n_experts)
      mixture_of_experts(spec, layer, k, batch, w);
    else
      feed_forward(spec, layer, k, batch, w, w.y);
    k.scale(batch, (float)spec.residual_scale, w.y);
    k.add_residual(batch, w.y, {layer.ffn_post_norm, eps}, w.x);
  }
}

void project_logits(const Model& model, Kernels& k, const Batch& batch, Rows<const float> x, Workspace& w,
                    Rows<float> logits) {
  k.norm(batch, x, {model.weights.final_norm, (float)model.spec.norm_eps}, model.weights.lm_head, w.h);
  k.matmul(batch, w.h, model.weights.lm_head, logits);
  k.scale(batch, (float)model.spec.logit_scale, logits);
  if (model.spec.logit_soft_cap != 0.0) k.soft_cap(batch, (float)model.spec.logit_soft_cap, logits);
}

} // namespace nextoken
