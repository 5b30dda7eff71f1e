// A loaded model: its spec, its packed weights, and the threads and kernels that run it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/pass_queue.h"
#include "base/thread_pool.h"
#include "kernels/device.h"
#include "kernels/kernels.h"
#include "kernels/matrix.h"
#include "model/spec.h"
#include "model/workspace.h"

namespace nextoken {

/// Norm weights are kept as float, [hidden_size] or, for q and k, [head_dim]. Absent ones are empty.
struct Layer {
  Norm attn_norm, attn_post_norm, ffn_norm, ffn_post_norm, q_norm, k_norm;
  Norm attn_stream_norm, ffn_stream_norm;                       // of x itself
  std::vector<float> qkv_bias, o_bias, gate_up_bias, down_bias; // as long as what they are added to, or empty
  Matrix wq, wk, wv, wqkv, wo, w_gate, w_up, w_gate_up, w_down; // wqkv, w_gate_up: of files that have them in one
  Linear qkv, o, gate_up, down;                                 // the matrices above, as the pass multiplies them
  // Of latent attention; q is then what the pass multiplies h or the latent of queries with.
  Matrix w_q_a, w_kv_a;
  Norm q_latent_norm, latent_norm;
  Linear q;
  std::vector<Matrix> k_b, v_b; // of each head [rank, nope_dim] and [value_dim, rank]
  // Of a mixture of experts; gate, up and down above are then the shared expert's.
  Matrix w_router, w_shared_weight;
  std::vector<float> router_bias, choice_bias; // the latter for the choice alone
  RoutingSpec routing;
  std::vector<Expert> experts;
  Linear router, shared_weight;
  Linear read_by_attn, read_by_ffn; // all that reads what the norms before them write
  std::vector<float> sinks;         // [n_heads] or empty
  AttentionSpec attention;
  size_t rotation = 0; // index into the model's rotations
};

struct Weights {
  Matrix embedding, head;          // head is unused if tied
  Matrix w_widen, w_narrow;        // [hidden_size, embedding_size] and back, or none
  Linear widen, narrow;            // the same
  Matrix positions;                // [n_ctx, hidden_size] added to embeddings, or none
  Linear lm_head;                  // head, or embedding if tied
  std::vector<float> lm_head_bias; // [vocab_size] or empty
  Norm embedding_norm, final_norm; // [hidden_size]; of embeddings most models have none
  std::vector<float> rope_factors; // [n_rot / 2] divisors of the rotary frequencies, or empty
  std::vector<Layer> layers;
  Buffer storage; // every panel of the model
};

struct Model {
  Spec spec;
  Weights weights;
  std::vector<Rotation> rotations; // each is that of some layers
  std::vector<float> slopes;       // [n_heads] of ALiBi, or empty
  std::string fingerprint;         // of spec and weights, 32 hex digits
  Device* device = nullptr;        // where weights, caches and the workspace are; null for the processor
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Kernels> kernels;
  Workspace workspace; // of the pass that has its turn
  PassQueue queue;     // one pass at a time, in order of arrival
  bool closed = false; // read and set by who has its turn

  Model() = default;
  Model(const Model&) = delete; // matrices are pointed to
  Model& operator=(const Model&) = delete;
};

} // namespace nextoken
