// What kind of decoder a model is: data that the one forward pass reads. An architecture fills it in.
#pragma once
#include <algorithm>
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

/// Norms of queries and keys: over each head, with one weight for all or each its own, or over all heads together; or
/// over each head that was rotated, without a weight.
enum class QKNorm { none, per_head, each_head, whole, unweighted };

/// Norms whose result is the stream from there on: of what attention and the feed-forward read and add to, or of the
/// stream once that is in it, and then none at the end. arXiv:1706.03762
enum class StreamNorms { none, before, behind };

/// What the feed-forward reads: the stream with attention's part in it, or as attention read it, through a norm of its
/// own or attention's. Wang and Komatsuzaki 2021, GPT-J
enum class Residual { sequential, parallel, parallel_one_norm };

/// A feed-forward of experts, of which a router chooses some for each token. Shazeer et al. 2017, arXiv:1701.06538
struct ExpertSpec {
  int64_t n_experts = 0; // 0: one feed-forward for every token
  int64_t n_used = 0;
  int64_t ffn_size = 0;        // of an expert
  int64_t shared_ffn_size = 0; // of one that every token takes, beside those chosen; 0 for none
  bool shared_weighted = true; // by a sigmoid of its own; else it is added as it is
  bool normalized = false;     // weights of the chosen, a softmax over all, are divided by their sum
  bool sigmoid = false;        // weights are sigmoids rather than a softmax
  double scale = 1.0;          // of the weights, at last
  bool weighs_input = false;   // weights are of what experts read, else of what they make
  // Experts side by side are so many groups, and chosen from the best of these: by its best expert, or with `sigmoid`
  // by the sum of its two best. arXiv:2405.04434, arXiv:2412.19437
  int64_t n_groups = 1, n_groups_used = 1;
  std::vector<int64_t> dense_layers; // have one feed-forward all the same
};

/// Multi-head latent attention: what is cached of a token is one vector, from which each head's matrices make its key
/// and value, and a piece of key that all heads share and that alone tells positions. DeepSeek-AI 2024,
/// arXiv:2405.04434. The matrices are applied to queries and results instead: attention is then of all heads to one key
/// of rank + n_rot elements, whose first `rank` are the value.
struct LatentSpec {
  int64_t rank = 0;      // 0: keys and values are cached themselves
  int64_t q_rank = 0;    // of queries, which are made of such a vector too; 0: of the stream
  int64_t nope_dim = 0;  // of a head of q and k, beside the n_rot elements that rotate
  int64_t value_dim = 0; // of a head
  double norm_eps = 1e-6;
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
  double attention_factor = 1.0;            // of the spec's attention_scale
  bool rotates = true;                      // false: positions are not told to this layer
  int64_t window = 0;                       // keys a query sees, itself included; 0 for all
  int64_t chunk = 0;                        // it sees those from the last multiple of this on; 0 for all
  // Of layers that do not rotate: queries grow by 1 + temperature_scale * ln(1 + (position + 1) / temperature_length),
  // the quotient rounded down; 0 for none. arXiv:2501.19399
  int64_t temperature_length = 0;
  double temperature_scale = 0.0;
};

struct Spec {
  int64_t n_ctx = 0; // positions the model was trained for
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t embedding_size = 0; // of token embeddings that a matrix widens and another narrows; 0: hidden_size
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
  StreamNorms stream_norms = StreamNorms::none;
  Residual residual = Residual::sequential;
  double norm_eps = 1e-5;
  double embedding_scale = 1.0;
  double residual_scale = 1.0;  // of what attention and the feed-forward add
  double attention_scale = 0.0; // of q . k; usually 1/sqrt(head_dim)
  double attention_soft_cap = 0.0;
  double clip_qkv = 0.0;   // largest magnitude of q, k and v, normed if they are; 0 for any
  double alibi_bias = 0.0; // 0, or slopes of distances are 2^(-alibi_bias i / n_heads). arXiv:2108.12409
  bool alibi_bf16 = false; // slopes, positions of keys and their products are rounded to bf16 and scaled as scores are
  double logit_scale = 1.0;
  double logit_soft_cap = 0.0;
  std::vector<float> rope_divisors; // [n_rot / 2] of the frequencies, or empty; the file may have them as a tensor
  ExpertSpec experts;
  LatentSpec latent; // head_dim is then rank + n_rot, and n_kv_heads 1
  std::vector<LayerSpec> layers;

  int64_t n_layers() const { return (int64_t)layers.size(); }
  bool mixture(int64_t layer) const {
    const std::vector<int64_t>& dense = experts.dense_layers;
    return experts.n_experts != 0 && std::find(dense.begin(), dense.end(), layer) == dense.end();
  }
  int64_t token_size() const { return embedding_size ? embedding_size : hidden_size; }
  int64_t group() const { return n_heads / n_kv_heads; }
  int64_t q_size() const { return n_heads * head_dim; }
  int64_t kv_size() const { return n_kv_heads * head_dim; }
};

/// Throws FormatError that names the field if the numbers do not describe a decoder this pass can run.
void validate(const Spec& spec);

} // namespace nextoken
