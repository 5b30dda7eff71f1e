#include "model/forward.h"

namespace nextoken {
namespace {

/// q and k [T, (H + G) d], each head or all of them normed
void norm_queries_and_keys(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w) {
  if (layer.q_norm.weight.empty()) return;
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
  if (normed && !spec.qk_norm_rotated) norm_queries_and_keys(spec, layer, k, batch, w);
  if (spec.clip_qkv != 0.0) k.clamp(batch, (float)spec.clip_qkv, w.qkv);
  if (spec.layers[(size_t)i].rotates) {
    const RopeAngles& angles = w.angles[layer.rotation];
    k.rope(batch, spec.rope_pairs, angles, spec.head_dim, w.q);
    k.rope(batch, spec.rope_pairs, angles, spec.head_dim, w.k);
  } else if (spec.layers[(size_t)i].temperature_length) {
    k.rope(batch, spec.rope_pairs, w.angles[layer.rotation], spec.head_dim, w.q);
  }
  if (normed && spec.qk_norm_rotated) norm_queries_and_keys(spec, layer, k, batch, w);
  k.store(batch, i, w.k, w.v);                               // into paged blocks
  k.attention(batch, i, layer.attention, w.q, layer.o, w.a); // a      [T, H d]
  k.matmul(batch, w.a, layer.o, w.y);                        // y      [T, D]
  k.add_bias(batch, layer.o_bias, w.y);
}

/// The same where the cache holds latents: c = norm(kv_a h) and a key r that rotates and all heads share.
/// Of each head, q . k = (k_b^T q1) . c + q2 . r, and the sum of its values is v_b times that of c.
void attend_to_latents(const Model& model, int64_t i, Kernels& k, const Batch& batch, Workspace& w) {
  const Spec& spec = model.spec;
  const LatentSpec& latent = spec.latent;
  const Layer& layer = model.weights.layers[(size_t)i];
  const int64_t head_dim = latent.nope_dim + spec.n_rot;
  k.matmul(batch, w.h, layer.qkv, w.qkv); // [T, q_rank + rank + n_rot]
  k.add_bias(batch, layer.qkv_bias, w.qkv);
  if (latent.q_rank) {
    k.norm(batch, w.q_latent, layer.q_latent_norm, layer.q, w.c);
    k.matmul(batch, w.c, layer.q, w.heads); // [T, H (nope_dim + n_rot)]
  }
  k.head_norm(batch, {w.k.data, w.k.rows, latent.rank, w.k.stride}, latent.rank, layer.latent_norm);
  const RopeAngles& angles = w.angles[layer.rotation];
  const auto behind = [](Rows<float> x, int64_t n) { return Rows<float>{x.data + n, x.rows, x.cols - n, x.stride}; };
  k.rope(batch, spec.rope_pairs, angles, head_dim, behind(w.heads, latent.nope_dim));
  k.rope(batch, spec.rope_pairs, angles, spec.n_rot, behind(w.k, latent.rank));
  k.head_matmul(batch, w.heads, layer.k_b, w.room, w.q); // q      [T, H (rank + n_rot)]
  k.store(batch, i, w.k, w.v);
  k.attention(batch, i, layer.attention, w.q, {}, w.a);          // a      [T, H rank]
  k.head_matmul(batch, w.a.rows(), layer.v_b, w.room, w.values); // [T, H value_dim]
  k.norm(batch, w.values, {}, layer.o, w.a);
  k.matmul(batch, w.a, layer.o, w.y); // y      [T, D]
  k.add_bias(batch, layer.o_bias, w.y);
}

/// y [T, D] = down(gate(gate h) * (up h)), or down(gate(up h))
void feed_forward(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w, Rows<float> y) {
  const Rows<float> gate_up{w.gate_up.data, w.gate_up.rows, layer.gate_up.n_rows(), w.gate_up.stride};
  k.matmul(batch, w.h, layer.gate_up, gate_up); // [T, 2F], or [T, F]
  k.add_bias(batch, layer.gate_up_bias, gate_up);
  if (spec.gated)
    k.gated_activation(batch, spec.gate, gate_up, layer.down, w.f); // f      [T, F]
  else
    k.activation(batch, spec.gate, gate_up, layer.down, w.f);
  k.matmul(batch, w.f, layer.down, y);
  k.add_bias(batch, layer.down_bias, y);
}

void mixture_of_experts(const Spec& spec, const Layer& layer, Kernels& k, const Batch& batch, Workspace& w,
                        Rows<float> y) {
  const ExpertSpec& e = spec.experts;
  k.matmul(batch, w.h, layer.router, w.router); // [T, E]
  k.add_bias(batch, layer.router_bias, w.router);
  k.route(batch, layer.routing, w.router, w.routes);
  k.experts(batch, w.routes, layer.experts, spec.gate, w.h, w.experts, y);
  if (e.shared_ffn_size == 0) return;
  if (e.shared_weighted) k.matmul(batch, w.h, layer.shared_weight, w.shared_weight); // [T, 1]
  feed_forward(spec, layer, k, batch, w, w.shared);
  if (e.shared_weighted)
    k.add_gated(batch, w.shared_weight, w.shared, y);
  else
    k.add_residual(batch, w.shared, {}, y);
}

} // namespace

void forward(const Model& model, Kernels& k, const Batch& batch, Workspace& w) {
  const Spec& spec = model.spec;
  const Weights& weights = model.weights;
  const bool parallel = spec.residual != Residual::sequential;
  const StreamNorms norms = spec.stream_norms;
  w.resize(batch.size());

  k.embed(weights.embedding, batch, (float)spec.embedding_scale, spec.embedding_size ? w.narrow : w.x);
  if (spec.embedding_size) {
    k.norm(batch, w.narrow, {}, weights.widen, w.narrow_h);
    k.matmul(batch, w.narrow_h, weights.widen, w.x); // x      [T, D]
  }
  if (weights.positions.panels) k.add_positions(weights.positions, batch, w.y, w.x);
  if (!weights.embedding_norm.weight.empty()) k.head_norm(batch, w.x, spec.hidden_size, weights.embedding_norm);
  for (size_t i = 0; i < model.rotations.size(); ++i) {
    k.rope_angles(batch, model.rotations[i], w.angles[i]);
  }
  for (int64_t i = 0; i < spec.n_layers(); ++i) {
    const Layer& layer = weights.layers[(size_t)i];

    if (norms == StreamNorms::before) k.head_norm(batch, w.x, spec.hidden_size, layer.attn_stream_norm);
    k.norm(batch, w.x, layer.attn_norm, layer.read_by_attn, w.h); // h      [T, D], quantised once for q, k, v
    if (spec.latent.rank)
      attend_to_latents(model, i, k, batch, w);
    else
      attend(model, i, k, batch, w); // y      [T, D]
    k.scale(batch, (float)spec.residual_scale, w.y);
    if (!parallel) k.add_residual(batch, w.y, layer.attn_post_norm, w.x); // x += norm(y), or y
    if (norms == StreamNorms::behind) k.head_norm(batch, w.x, spec.hidden_size, layer.attn_stream_norm);

    if (norms == StreamNorms::before) k.head_norm(batch, w.x, spec.hidden_size, layer.ffn_stream_norm);
    if (spec.residual != Residual::parallel_one_norm) k.norm(batch, w.x, layer.ffn_norm, layer.read_by_ffn, w.h);
    if (spec.mixture(i))
      mixture_of_experts(spec, layer, k, batch, w, w.z);
    else
      feed_forward(spec, layer, k, batch, w, w.z); // z      [T, D], the memory of y unless parallel
    k.scale(batch, (float)spec.residual_scale, w.z);
    if (parallel) k.add_residual(batch, w.y, layer.attn_post_norm, w.x);
    k.add_residual(batch, w.z, layer.ffn_post_norm, w.x);
    if (norms == StreamNorms::behind) k.head_norm(batch, w.x, spec.hidden_size, layer.ffn_stream_norm);
  }
}

void project_logits(const Model& model, Kernels& k, const Batch& batch, Rows<const float> x, Workspace& w,
                    Rows<float> logits) {
  const Weights& weights = model.weights;
  const bool narrow = model.spec.embedding_size != 0;
  k.norm(batch, x, weights.final_norm, narrow ? weights.narrow : weights.lm_head, w.h);
  if (narrow) {
    const Rows<float> rows{w.narrow.data, x.rows, w.narrow.cols, w.narrow.stride};
    k.matmul(batch, w.h, weights.narrow, rows);
    k.norm(batch, rows, {}, weights.lm_head, w.narrow_h);
  }
  k.matmul(batch, narrow ? w.narrow_h : w.h, weights.lm_head, logits);
  k.add_bias(batch, weights.lm_head_bias, logits);
  k.scale(batch, (float)model.spec.logit_scale, logits);
  if (model.spec.logit_soft_cap != 0.0) k.soft_cap(batch, (float)model.spec.logit_soft_cap, logits);
}

} // namespace nextoken
