// The buffers of a pass, each with its shape; T is at most max_rows.
#pragma once
#include <vector>

#include "kernels/kernels.h"
#include "model/spec.h"

namespace nextoken {

struct Workspace {
  Workspace() = default;
  /// n_angles: how many different rotations the layers use. On a device, or in the processor's memory if null.
  Workspace(const Spec& spec, int64_t max_rows, int64_t n_angles, Memory* memory);

  /// Sets the number of rows of every view.
  void resize(int64_t rows);

  /// Room for n rows of logits [n, V], n small.
  Rows<float> logits_rows(int64_t n);
  /// Rows of logits where the processor reads them: themselves, or a copy that lives until the next call.
  Rows<float> on_processor(Rows<float> logits);

  int64_t max_rows = 0;
  Rows<float> x;            // [T, D] the residual stream
  Rows<float> narrow;       // [T, embedding_size] of embeddings that are widened
  Rows<float> q, k, v, qkv; // [T, H d], [T, G d], [T, G d], side by side in qkv
  // Of latent attention: qkv is then [T, q_rank] (or q) and the key of latent and rotated part, and q what meets it.
  Rows<float> q_latent, heads, values; // [T, q_rank], [T, H (nope_dim + n_rot)], [T, H value_dim]
  Rows<float> y, z;                    // [T, D] what attention and the feed-forward add to x, one unless parallel
  Rows<float> gate_up; // [T, 2F], or [T, F] without a gate; F is the shared expert's in a mixture of experts
  Rows<float> router, shared_weight, shared; // [T, E], [T, 1], [T, D]
  Routes routes;
  ExpertRoom experts;             // for T * n_used rows
  Hidden h, a, f;                 // [T, D], [T, H d], [T, F] on their way into a matmul
  Hidden narrow_h;                // [T, embedding_size]
  Hidden c, room;                 // of latent attention: [T, q_rank], [T H, nope_dim or rank]
  std::vector<RopeAngles> angles; // one for each different rotation

  // Kept from pass to pass, so that a decoded token allocates nothing.
  Batch batch;
  std::vector<size_t> batch_sequences; // of each piece of the batch
  std::vector<size_t> ending;          // sequences whose last row is in the batch

 private:
  int64_t vocab_size_ = 0;
  Memory* memory_ = nullptr;
  Buffer floats_, logits_, pairs_;
  Buffer copied_logits_;
};

} // namespace nextoken
