// A loaded model: its spec, its packed weights, and the threads and kernels that run it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/pass_queue.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/matrix.h"
#include "model/spec.h"

namespace nextoken {

/// Norm weights are kept as float, [hidden_size] or, for q and k, [head_dim]. Absent ones are empty.
struct Layer {
  std::vector<float> attn_norm, attn_post_norm, ffn_norm, ffn_post_norm, q_norm, k_norm;
  Matrix q, k, v, attn_out, gate, up, down_matrix;
  Linear qkv, o, gate_up, down; // views of the matrices above
};

struct Weights {
  Matrix embedding, head; // head unused if tied
  std::vector<float> final_norm;
  std::vector<float> rope_factors; // [n_rot / 2] divisors of the rotary frequencies, or empty
  std::vector<Layer> layers;
  Linear lm_head;
  Buffer storage; // every panel of the model
  uint64_t fingerprint[2] = {};
};

struct Model {
  Spec spec;
  Weights weights;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Kernels> kernels;
  PassQueue queue; // one pass at a time, in order of arrival
  bool closed = false;

  int64_t nbytes() const { return weights.storage.size(); }
};

} // namespace nextoken
