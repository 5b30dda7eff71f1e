// The operations a forward pass is made of. The CPU implements them; another device implements the same set.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/poll.h"
#include "base/view.h"
#include "cache/cache.h"
#include "kernels/hidden.h"
#include "kernels/matrix.h"
#include "kernels/thin.h"
#include "kernels/types.h"

namespace nextoken {

/// Consecutive tokens of one sequence in a batch.
struct BatchPiece {
  Cache* cache;
  int64_t row_begin, n_tokens, first_position;
};

/// T rows of any mix of sequences.
struct Batch {
  std::vector<int32_t> token_ids; // [T]
  std::vector<int64_t> positions; // [T]
  std::vector<BatchPiece> pieces; // in row order
  Poll* poll = nullptr;
  bool op_by_op = false; // calls are timed one by one: nothing may be kept back

  int64_t size() const { return (int64_t)token_ids.size(); }
};

/// A norm and its weights; an empty weight stands for "no norm here", an empty bias for none.
struct Norm {
  NormKind kind = NormKind::rms;
  float eps = 0.0f;
  std::vector<float> weight, bias;
};

/// How positions are told to queries and keys: by angles of position * frequency, or to queries alone by what they are
/// multiplied with, the same in pairs that do not turn.
struct Rotation {
  std::vector<double> inverse_frequencies; // [n_rot / 2]
  double magnitude = 1.0;                  // of cos and sin...
  int64_t temperature_length = 0;          // ...times 1 + temperature_scale * ln(1 + (position + 1) / length), rounded
  double temperature_scale = 0.0;          // down within ln; length 0 for none. arXiv:2501.19399
};

/// cos and sin of the rotary angles of each row: [T][n_rot / 2].
struct RopeAngles {
  Rows<float> cos, sin;
};

struct AttentionSpec {
  int64_t n_heads, n_kv_heads, head_dim, window;
  float scale, soft_cap;
  const float* slopes; // [n_heads] of distances, or null
  const float* sinks;  // [n_heads] scores of a key that every query sees and whose value is zero, or null
  int64_t latent_dim;  // 0, or the cache holds latents whose first latent_dim elements are the values
  int64_t chunk;       // keys from the last multiple of it on; 0: those within the window
  bool bf16_distances; // see AttentionArgs

  int64_t value_dim() const { return latent_dim ? latent_dim : head_dim; }
  /// The first that a query at that position sees.
  int64_t first_key(int64_t position) const {
    if (chunk) return position - position % chunk;
    return window ? std::max<int64_t>(0, position + 1 - window) : 0;
  }
};

/// How scores become the experts that a token takes and their weights. Dai et al. 2024, arXiv:2401.06066
struct RoutingSpec {
  int64_t n_used = 0;
  bool normalized = false;     // weights of the chosen are divided by their sum
  bool sigmoid = false;        // of each score by itself, or a softmax over all
  int64_t n_groups = 1;        // of experts side by side...
  int64_t n_groups_used = 1;   // ...and the best of them, of which experts are chosen
  float scale = 1.0f;          // of the weights, at last
  const float* bias = nullptr; // [E] is added for the choice alone, or null
  bool weighs_input = false;   // weights are of what experts read, else of what they make
};

/// The experts that each of T rows takes, best first, and their weights: [T][n_used]. On a device they stand in its
/// memory, and the experts also here if each call is waited for.
struct Routes {
  int64_t n_used = 0;
  bool weighs_input = false;
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

/// Room for the T * n_used pairs of a row and an expert that it takes, those of an expert side by side.
struct ExpertRoom {
  Hidden h, f;            // [pairs, D], [pairs, F]
  Rows<float> gate_up, y; // [pairs, 2F], [pairs, D]
};

class Kernels {
 public:
  virtual ~Kernels() = default;
  virtual const char* isa() const = 0;
  /// Waits for what was called before, and throws what happened to it. Calls that compute at once throw themselves.
  /// What was called may not have begun before: a device's memory is copied and freed after this alone.
  virtual void finish() {}

  // Laps, of devices: a processor is asked when a call returns.
  /// The first lap begins here.
  virtual void begin_laps() {}
  /// What was called since the last lap is one.
  virtual void end_lap() {}
  /// Waits, and gives the nanoseconds that each lap took there.
  virtual std::vector<int64_t> take_laps() { return {}; }

  /// x [T, D] = table[token id] * scale
  virtual void embed(const Matrix& table, const Batch& batch, float scale, Rows<float> x) = 0;
  /// x [T, D] += table[position]; room [T, D] is overwritten
  virtual void add_positions(const Matrix& table, const Batch& batch, Rows<float> room, Rows<float> x) = 0;
  /// h = norm(x), or x where the norm has no weight, in the forms that `next` multiplies with
  virtual void norm(const Batch& batch, Rows<const float> x, const Norm& norm, const Linear& next, Hidden& h) = 0;
  /// y [T, N] = h w^T
  virtual void matmul(const Batch& batch, const Hidden& h, const Linear& w, Rows<float> y) = 0;
  /// Each head of `heads` [T, n * head_dim] normed by itself, in place; a weight of n * head_dim is each head's own
  virtual void head_norm(const Batch& batch, Rows<float> heads, int64_t head_dim, const Norm& norm) = 0;
  /// y [T, N] += bias [N]; an empty bias stands for none
  virtual void add_bias(const Batch& batch, const std::vector<float>& bias, Rows<float> y) = 0;
  /// y within [-limit, limit]
  virtual void clamp(const Batch& batch, float limit, Rows<float> y) = 0;
  /// y *= factor
  virtual void scale(const Batch& batch, float factor, Rows<float> y) = 0;
  /// cos and sin times the magnitude of each row's angles; in double, rounded once
  virtual void rope_angles(const Batch& batch, const Rotation& rotation, RopeAngles angles) = 0;
  /// Rotates the first n_rot elements of each head of `heads` [T, n * head_dim] in place; the last one may be shorter
  virtual void rope(const Batch& batch, RopePairs pairs, const RopeAngles& angles, int64_t head_dim,
                    Rows<float> heads) = 0;
  /// k, v [T, G d] into the caches of the batch
  virtual void store(const Batch& batch, int64_t layer, Rows<const float> k, Rows<const float> v) = 0;
  /// a [T, H v] = attention of q [T, H d] over the caches, in the forms that `next` multiplies with; v is value_dim()
  virtual void attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, Rows<const float> q,
                         const Linear& next, Hidden& a) = 0;
  /// f [T, F] = gate(gate_up[:, :F]) * gate_up[:, F:], in the forms that `next` multiplies with
  virtual void gated_activation(const Batch& batch, Gate gate, Rows<const float> gate_up, const Linear& next,
                                Hidden& f) = 0;
  /// f [T, F] = gate(up [T, F]), in the forms that `next` multiplies with
  virtual void activation(const Batch& batch, Gate gate, Rows<const float> up, const Linear& next, Hidden& f) = 0;
  /// Each of n heads of x [T, n * a] by a matrix of its own, whose K columns take its first elements; what stands
  /// behind them follows the N results: y [T, n * b], with b - N = a - K. `room` [T * n, K] is overwritten
  virtual void head_matmul(const Batch& batch, Rows<const float> x, const std::vector<Matrix>& heads, Hidden& room,
                           Rows<float> y) = 0;
  /// The n_used best experts by each row of scores [T, E], which is overwritten; of equals the first
  virtual void route(const Batch& batch, const RoutingSpec& spec, Rows<float> scores, Routes& routes) = 0;
  /// y [T, D] = sum over a row's experts, in the order of its route, of weight * down(gate(gate h) * (up h)), or
  /// where it weighs the input of down(gate(weight * gate h) * (weight * up h))
  virtual void experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate,
                       const Hidden& h, ExpertRoom& room, Rows<float> y) = 0;
  /// y [T, D] += sigmoid(score [T, 1]) * part [T, D], which is overwritten
  virtual void add_gated(const Batch& batch, Rows<const float> score, Rows<float> part, Rows<float> y) = 0;
  /// x += norm(y), or y where the norm has no weight; y is overwritten
  virtual void add_residual(const Batch& batch, Rows<float> y, const Norm& norm, Rows<float> x) = 0;
  /// x = cap * tanh(x / cap)
  virtual void soft_cap(const Batch& batch, float cap, Rows<float> x) = 0;

  /// Waits as finish() does, and gives what is asked of each row of logits. Of devices: the processor reads its own.
  virtual void thin(Rows<const float> logits, const std::vector<Thinning>& how, std::vector<ThinRow>& rows) {
    (void)logits, (void)how, (void)rows;
  }
};

} // namespace nextoken
