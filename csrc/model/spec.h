// What kind of decoder a model is: data that the one forward pass reads. An architecture fills it in.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/types.h"

namespace nextoken {

// Frequencies times 2^32 positions stay below 2^45, the largest angle of exact_sin: rope_theta is at least 1, and they
// are divided by no less than these.
constexpr double LEAST_ROPE_FACTOR = 1.0 / 1024;
constexpr float LEAST_ROPE_DIVISOR = 1.0f / 8; // of single frequencies, given as a tensor

/// How rotary frequencies are slowed for contexts longer than the trained one.
enum class RopeScaling {
  linear, // all divided by the factor
  yarn,   // those of fewer turns in the trained context than `slow` divided, more than `fast` kept. arXiv:2309.00071
  llama3, // the same idea between wavelengths n_ctx / slow and n_ctx / fast. arXiv:2407.21783
};

/// Norms of queries and keys: over each head, with one weight for all or each its own, or over all heads together.
enum class QKNorm { none, per_head, each_head, whole };

/// What the feed-forward reads: the stream with attention's part in it, or as attention read it, through a norm of its
/// own or attention's. Wang and Komatsuzaki 2021, GPT-J
enum class Residual { sequential, parallel, parallel_one_norm };

/// A feed-forward of experts, of which a router chooses some for each token. Shazeer et al. 2017, arXiv:1701.06538
struct ExpertSpec {
  int64_t n_experts = 0; // 0: one feed-forward for every token
  int64_t n_used = 0;
  int64_t ffn_size = 0;        // of an expert
  int64_t shared_ffn_size = 0; // of one that every token takes, beside those chosen; 0 for none
  bool normalized = false;     // weights of the chosen, a softmax over all, are divided by their sum
};

struct LayerSpec {
  double rope_theta = 10000.0; // base of the rotary frequencies
  RopeScaling rope_scaling = RopeScaling::linear;
  double rope_factor = 1.0;
  int64_t rope_n_ctx = 0;                   // context before scaling, of yarn and llama3
  double rope_fast = 32.0, rope_slow = 1.0; // of yarn and llama3
  double rope_magnitude = 1.0;              // cos and sin are multiplied by it...
  double rope_log_magnitude = 0.0;          // ...and by 1 + this * ln(rope_factor); 0.1 for yarn
  bool rope_whole = true;                   // yarn's bounds, `fast` and `slow`, are moved out to whole frequencies
  bool rotates = true;                      // false: positions are not told to this layer
  int64_t window = 0;                       // keys a query sees, itself included; 0 for all
};

struct Spec {
  int64_t n_ctx = 0; // positions the model was trained for
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t ffn_size = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t n_rot = 0; // elements of a head that rotate
  RopePairs rope_pairs = RopePairs::adjacent;
  Gate gate = Gate::silu;
  bool gated = true; // the feed-forward is down(gate(gate h) * (up h)), else down(gate(up h))
  NormKind norm = NormKind::rms;
  QKNorm qk_norm = QKNorm::none;
  bool qk_norm_rotated = false; // q and k are rotated first, then normed
  bool pre_norms = true;        // norm of what attention and the feed-forward read
  bool post_norms = false;      // norm of what attention and the feed-forward add
  Residual residual = Residual::sequential;
  double norm_eps = 1e-5;
  double embedding_scale = 1.0;
  double residual_scale = 1.0;  // of what attention and the feed-forward add
  double attention_scale = 0.0; // of q . k; usually 1/sqrt(head_dim)
  double attention_soft_cap = 0.0;
  double clip_qkv = 0.0;   // largest magnitude of q, k and v; 0 for any
  double alibi_bias = 0.0; // 0, or slopes of distances are 2^(-alibi_bias i / n_heads). arXiv:2108.12409
  double logit_scale = 1.0;
  double logit_soft_cap = 0.0;
  std::vector<float> rope_divisors; // [n_rot / 2] of the frequencies, or empty; the file may have them as a tensor
  ExpertSpec experts;
  std::vector<LayerSpec> layers;

  int64_t n_layers() const { return (int64_t)layers.size(); }
  int64_t group() const { return n_heads / n_kv_heads; }
  int64_t q_size() const { return n_heads * head_dim; }
  int64_t kv_size() const { return n_kv_heads * head_dim; }
};

/// Throws FormatError that names the field if the numbers do not describe a decoder this pass can run.
void validate(const Spec& spec);

} // namespace nextoken
