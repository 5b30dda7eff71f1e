#include "model/fingerprint.h"

#include <cstdio>
#include <cstring>

namespace nextoken {
namespace {

constexpr uint64_t ODD_A = 0xff51afd7ed558ccdull, ODD_B = 0xc4ceb9fe1a85ec53ull;

uint64_t mix(uint64_t h, uint64_t word, uint64_t odd) {
  h = (h ^ word) * odd;
  return h ^ h >> 29;
}

} // namespace

void Fingerprint::add(const uint8_t* bytes, int64_t n) {
  a_ = mix(a_, (uint64_t)n, ODD_A);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) { // two independent chains
    uint64_t x, y;
    std::memcpy(&x, bytes + i, 8);
    std::memcpy(&y, bytes + i + 8, 8);
    a_ = mix(a_, x, ODD_A);
    b_ = mix(b_, y, ODD_B);
  }
  for (; i < n; ++i) a_ = mix(a_, bytes[i], ODD_A);
}

void Fingerprint::add(const Spec& s) {
  // Field by field: padding between them has no defined value.
  std::string text;
  const auto number = [&](double x) {
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.17g;", x);
    text += digits;
  };
  for (int64_t n : {s.n_ctx, s.vocab_size, s.hidden_size, s.ffn_size, s.n_heads, s.n_kv_heads, s.head_dim, s.n_rot,
                    (int64_t)s.rope_pairs, (int64_t)s.gate, (int64_t)s.gated, (int64_t)s.norm, (int64_t)s.qk_norm,
                    (int64_t)s.qk_norm_rotated, (int64_t)s.pre_norms, (int64_t)s.post_norms, (int64_t)s.residual}) {
    number((double)n);
  }
  for (double x : {s.norm_eps, s.embedding_scale, s.residual_scale, s.attention_scale, s.attention_soft_cap, s.clip_qkv,
                   s.alibi_bias, s.logit_scale, s.logit_soft_cap}) {
    number(x);
  }
  const ExpertSpec& e = s.experts;
  for (int64_t n : {e.n_experts, e.n_used, e.ffn_size, e.shared_ffn_size, (int64_t)e.normalized}) number((double)n);
  if (e.sigmoid || !e.shared_weighted || e.scale != 1.0 || e.n_groups != 1 || !e.dense_layers.empty()) {
    for (int64_t n : {(int64_t)e.sigmoid, (int64_t)e.shared_weighted, e.n_groups, e.n_groups_used}) number((double)n);
    for (int64_t layer : e.dense_layers) number((double)layer);
    number(e.scale);
  }
  if (e.weighs_input) text += "input;";
  if (s.alibi_bf16) text += "bf16;";
  if (const LatentSpec& l = s.latent; l.rank) {
    for (int64_t n : {l.rank, l.q_rank, l.nope_dim, l.value_dim}) number((double)n);
    number(l.norm_eps);
  }
  if (s.embedding_size) number((double)s.embedding_size);
  if (s.stream_norms == StreamNorms::before) text += "stream before;";
  if (s.stream_norms == StreamNorms::behind) text += "stream;";
  for (float x : s.rope_divisors) number(x);
  for (const LayerSpec& layer : s.layers) {
    for (double x : {layer.rope_theta, (double)layer.rope_scaling, layer.rope_factor, (double)layer.rope_n_ctx,
                     layer.rope_fast, layer.rope_slow, layer.rope_magnitude, layer.rope_log_magnitude,
                     (double)layer.rope_whole, (double)layer.rotates, (double)layer.window}) {
      number(x);
    }
    if (layer.attention_factor != 1.0) number(layer.attention_factor);
    if (layer.chunk) text += "chunk;", number((double)layer.chunk);
    if (layer.temperature_length)
      text += "temperature;", number((double)layer.temperature_length), number(layer.temperature_scale);
  }
  add(reinterpret_cast<const uint8_t*>(text.data()), (int64_t)text.size());
}

std::string Fingerprint::hex() const {
  char digits[33];
  std::snprintf(digits, sizeof digits, "%016llx%016llx", (unsigned long long)a_, (unsigned long long)b_);
  return digits;
}

} // namespace nextoken
