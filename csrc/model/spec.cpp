#include "model/spec.h"

#include <cfloat>
#include <cstdio>
#include <string>

#include "base/errors.h"

namespace nextoken {
namespace {

void require(bool ok, const char* field, const std::string& expected) {
  if (!ok) throw FormatError(std::string(field) + ": " + expected, field);
}

void require_count(int64_t value, int64_t limit, const char* field) {
  require(value >= 1 && value <= limit, field,
          "must be from 1 to " + std::to_string(limit) + ", not " + std::to_string(value));
}

std::string text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%g", value);
  return digits;
}

/// Of float's range, since they become floats.
void require_positive(double value, const char* field) {
  require(value >= FLT_MIN && value <= FLT_MAX, field, "must be a positive float, not " + text(value));
}

void require_from(double least, double value, const char* field) {
  require(value >= least && value <= FLT_MAX, field, "must be a float from " + text(least) + ", not " + text(value));
}

void require_cap(double value, const char* field) {
  require(value == 0 || (value >= FLT_MIN && value <= FLT_MAX), field,
          "must be zero or a positive float, not " + text(value));
}

void validate(const ExpertSpec& e, int64_t wide) {
  if (e.n_experts == 0) return;
  require_count(e.n_experts, 65536, "n_experts");
  require_count(e.n_used, e.n_experts, "n_experts_used");
  require_count(e.ffn_size, wide, "expert_ffn_size");
  require(e.shared_ffn_size >= 0 && e.shared_ffn_size <= wide, "shared_ffn_size", "is out of range");
  require_positive(e.scale, "expert_scale");
  require_count(e.n_groups, e.n_experts, "n_expert_groups");
  require_count(e.n_groups_used, e.n_groups, "n_expert_groups_used");
  require(e.n_experts % e.n_groups == 0, "n_expert_groups",
          std::to_string(e.n_groups) + " does not divide n_experts, " + std::to_string(e.n_experts));
  const int64_t group = e.n_experts / e.n_groups;
  require(e.n_groups_used == e.n_groups || !e.sigmoid || group >= 2, "n_expert_groups",
          "must leave two experts to a group");
  require(e.n_used <= e.n_groups_used * group, "n_experts_used",
          std::to_string(e.n_used) + " are more than the groups that are used have");
}

void validate_latent(const Spec& s) {
  const LatentSpec& l = s.latent;
  if (l.rank == 0) return;
  require_count(l.rank, 65536, "latent_rank");
  require(l.q_rank >= 0 && l.q_rank <= 65536, "latent_q_rank", "is out of range");
  require_count(l.nope_dim, 65536, "nope_dim");
  require_count(l.value_dim, 65536, "value_dim");
  require_positive(l.norm_eps, "latent_norm_eps");
  require(s.n_rot >= 2, "n_rot", "must be at least 2 beside a latent");
  require(s.head_dim == l.rank + s.n_rot, "head_dim", "must be that of the latent and what rotates");
  require(s.n_kv_heads == 1, "n_kv_heads", "must be 1, as latents are shared by all heads");
  require(s.qk_norm == QKNorm::none && s.clip_qkv == 0, "qk_norm", "is not applied to latents");
}

} // namespace

void validate(const Spec& s) {
  // The limits keep every product of two sizes far inside int64.
  constexpr int64_t WIDE = int64_t{1} << 24;
  require_count(s.n_layers(), 4096, "n_layers");
  require_count(s.n_ctx, int64_t{1} << 32, "n_ctx"); // no memory is taken for it
  require_count(s.vocab_size, int64_t{1} << 26, "vocab_size");
  require_count(s.hidden_size, WIDE, "hidden_size");
  require_count(s.ffn_size, WIDE, "ffn_size");
  require_count(s.n_heads, 65536, "n_heads");
  require_count(s.n_kv_heads, 65536, "n_kv_heads");
  require_count(s.head_dim, 65536, "head_dim");
  require(s.n_heads % s.n_kv_heads == 0, "n_kv_heads",
          std::to_string(s.n_kv_heads) + " does not divide n_heads, " + std::to_string(s.n_heads));
  require(s.n_rot >= 0 && s.n_rot <= s.head_dim && s.n_rot % 2 == 0, "n_rot",
          "must be even and at most head_dim, " + std::to_string(s.head_dim) + ", not " + std::to_string(s.n_rot));
  require(s.embedding_size >= 0 && s.embedding_size <= WIDE, "embedding_size", "is out of range");
  require(s.stream_norms == StreamNorms::none || (!s.pre_norms && !s.post_norms && s.residual == Residual::sequential),
          "stream_norms", "leave no room for other norms");
  validate(s.experts, WIDE);
  validate_latent(s);
  require(s.gated || s.gate != Gate::clamped_silu, "gate", "clamped_silu needs something to multiply");
  require_positive(s.norm_eps, "norm_eps");
  require_positive(s.embedding_scale, "embedding_scale");
  require_positive(s.residual_scale, "residual_scale");
  require_positive(s.logit_scale, "logit_scale");
  require_positive(s.attention_scale, "attention_scale");
  require_cap(s.attention_soft_cap, "attention_soft_cap");
  require_cap(s.logit_soft_cap, "logit_soft_cap");
  require_cap(s.clip_qkv, "clip_qkv");
  require(s.clip_qkv == 0 || !s.qk_norm_rotated, "clip_qkv",
          "is not applied where heads are normed after their rotation");
  require(s.qk_norm != QKNorm::unweighted || s.qk_norm_rotated, "qk_norm", "without weights is of what is rotated");
  require(s.alibi_bias >= 0 && s.alibi_bias <= 1024, "alibi_bias", "must be from 0 to 1024, not " + text(s.alibi_bias));
  require(s.rope_divisors.empty() || (int64_t)s.rope_divisors.size() == s.n_rot / 2, "rope_divisors",
          "must be " + std::to_string(s.n_rot / 2) + " numbers, not " + std::to_string(s.rope_divisors.size()));
  for (float divisor : s.rope_divisors) require_from(LEAST_ROPE_DIVISOR, divisor, "rope_divisors");
  for (const LayerSpec& layer : s.layers) {
    require_from(1.0, layer.rope_theta, "rope_theta");
    require_from(LEAST_ROPE_FACTOR, layer.rope_factor, "rope_factor");
    require_positive(layer.rope_magnitude, "rope_magnitude");
    require(layer.rope_log_magnitude >= 0 && layer.rope_log_magnitude <= 1024, "rope_log_magnitude",
            "must be from 0 to 1024, not " + text(layer.rope_log_magnitude));
    if (layer.rope_scaling != RopeScaling::linear) {
      require_count(layer.rope_n_ctx, int64_t{1} << 32, "rope_n_ctx");
      require_positive(layer.rope_slow, "rope_slow");
      require(layer.rope_fast > layer.rope_slow && layer.rope_fast <= FLT_MAX, "rope_fast",
              "must be larger than rope_slow, not " + text(layer.rope_fast));
      require(layer.rope_theta > 1.0, "rope_theta", "must be above 1 to be scaled by frequency");
    }
    require_positive(layer.attention_factor, "attention_factor");
    require(layer.window >= 0, "window", "must not be negative");
    require(layer.chunk >= 0 && (layer.chunk == 0 || layer.window == 0), "chunk",
            "must not be negative, and leaves no room for a window");
    require(layer.temperature_scale >= 0 && layer.temperature_scale <= 1024, "temperature_scale",
            "must be from 0 to 1024, not " + text(layer.temperature_scale));
    require(layer.temperature_length == 0 ||
                (layer.temperature_length > 0 && !layer.rotates && !s.latent.rank && s.n_rot == s.head_dim),
            "temperature_length", "is of layers that do not rotate in a model whose heads rotate as wholes");
  }
}

} // namespace nextoken
