// The kernel set on a card. Nothing here waits for it but finish(), and the copies of what the processor reads.
#pragma once
#include <map>
#include <vector>

#include "base/buffer.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"
#include "kernels/kernels.h"
#include "kernels/rope_table.h"

namespace nextoken::cuda {

constexpr const char* NOT_FINITE = "the model's activations are no longer finite numbers";

class CudaKernels : public Kernels {
 public:
  explicit CudaKernels(Card& card);

  const char* isa() const override { return "cuda"; }
  void finish() override;
  void begin_laps() override { laps_.begin(); }
  void end_lap() override { laps_.mark(); }
  std::vector<int64_t> take_laps() override { return laps_.take(); }
  void embed(const Matrix& table, const Batch& batch, float scale, Rows<float> x) override;
  void add_positions(const Matrix& table, const Batch& batch, Rows<float> room, Rows<float> x) override;
  void norm(const Batch& batch, Rows<const float> x, const Norm& norm, const Linear& next, Hidden& h) override;
  void matmul(const Batch& batch, const Hidden& h, const Linear& w, Rows<float> y) override;
  void head_norm(const Batch& batch, Rows<float> heads, int64_t head_dim, const Norm& norm) override;
  void add_bias(const Batch& batch, const std::vector<float>& bias, Rows<float> y) override;
  void clamp(const Batch& batch, float limit, Rows<float> y) override;
  void scale(const Batch& batch, float factor, Rows<float> y) override;
  void rope_angles(const Batch& batch, const Rotation& rotation, RopeAngles angles) override;
  void rope(const Batch& batch, RopePairs pairs, const RopeAngles& angles, int64_t head_dim,
            Rows<float> heads) override;
  void store(const Batch& batch, int64_t layer, Rows<const float> k, Rows<const float> v) override;
  void attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, Rows<const float> q, const Linear& next,
                 Hidden& a) override;
  void gated_activation(const Batch& batch, Gate gate, Rows<const float> gate_up, const Linear& next,
                        Hidden& f) override;
  void activation(const Batch& batch, Gate gate, Rows<const float> up, const Linear& next, Hidden& f) override;
  void add_residual(const Batch& batch, Rows<float> y, const Norm& norm, Rows<float> x) override;
  void soft_cap(const Batch& batch, float cap, Rows<float> x) override;
  void thin(Rows<const float> logits, const std::vector<Thinning>& how, std::vector<ThinRow>& rows) override;

  void head_matmul(const Batch& batch, Rows<const float> x, const std::vector<Matrix>& heads, Hidden& room,
                   Rows<float> y) override;
  void route(const Batch& batch, const RoutingSpec& spec, Rows<float> scores, Routes& routes) override;
  void experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate, const Hidden& h,
               ExpertRoom& room, Rows<float> y) override;
  void add_gated(const Batch& batch, Rows<const float> score, Rows<float> part, Rows<float> y) override;

 private:
  /// What the processor tells the card before a pass: grows, and is filled anew.
  struct Told {
    Buffer memory;
    template <class T>
    T* as() const {
      return memory.as<T>();
    }
  };
  template <class T>
  void tell(Told& told, const std::vector<T>& values) {
    tell(told, values.data(), (int64_t)(values.size() * sizeof(T)));
  }
  void tell(Told& told, const void* values, int64_t bytes);
  void tell_places(const Batch& batch);
  void tell_tiles(const Batch& batch, int64_t group, bool latents);

  /// What stands on the card as long as the model: made and uploaded the first time, `of` says whose it is.
  template <class T, class Make>
  const T* table(const void* of, Make make) {
    const auto found = tables_.find(of);
    if (found != tables_.end()) return found->second.template as<const T>();
    const std::vector<T> values = make();
    Buffer copy(&card_, (int64_t)(values.size() * sizeof(T)), "tables of a model");
    card_.upload(copy.data(), values.data(), copy.size());
    return tables_.emplace(of, std::move(copy)).first->second.template as<const T>();
  }
  /// The model's own floats on the card; null if there are none.
  const float* weights(const std::vector<float>& values) { return weights(values.data(), (int64_t)values.size()); }
  const float* weights(const float* values, int64_t n) {
    return n == 0 ? nullptr : table<float>(values, [&] { return std::vector<float>(values, values + n); });
  }
  NormKernel::Args norm_args(const Norm& norm, Rows<const float> x, int64_t head_dim);
  /// Rows of k columns in `h`, in the forms that `next` multiplies with.
  Forms forms(Hidden& h, int64_t rows, int64_t k, const Linear& next);
  /// y = h w^T; `of_each` of matrices that each group or head has its own of, `args` says which of these there are.
  void multiply(const Linear& w, const Hidden& h, const std::vector<const uint8_t* const*>& of_each, Rows<float> y,
                MatmulArgs args);
  /// What a layer's routes are on the card until the next layer's; see RouteKernel and GroupKernel.
  struct Routed {
    int64_t *places, *rows;
    MatmulGroup* groups;
    int32_t *experts, *expert_of;
    float* weights;
  };
  Routed routed(int64_t rows, int64_t n_used);
  const std::vector<const Matrix*>& of_each_type(const std::vector<Expert>& experts, Matrix Expert::* member);
  const uint8_t* const* panels_of(const std::vector<Expert>& experts, Matrix Expert::* member, const Matrix& like);
  void multiply_experts(const std::vector<Expert>& experts, const std::vector<Matrix Expert::*>& members,
                        const Hidden& h, Rows<float> y, const MatmulArgs& args);
  void add_expert_biases(const std::vector<Expert>& experts, std::vector<float> Expert::* member,
                         const int32_t* expert_of, Rows<float> y);
  void elementwise(ElementwiseKernel::Op op, float number, Rows<float> x);

  Card& card_;
  Laps laps_;
  Queue queue_;
  Buffer failed_; // an int: some number was not finite
  std::map<const void*, Buffer> tables_;
  std::vector<RopeTable> rope_tables_;
  Buffer partials_;

  std::vector<int64_t> ids_, positions_;
  std::vector<RowPlace> places_;
  std::vector<uint8_t*> block_table_;
  std::vector<int64_t> first_block_; // of each piece in the block table
  std::vector<AttentionTile> tiles_;
  std::vector<float> cos_, sin_;
  int64_t tiles_group_ = 0; // the tiles of this pass are of so many query heads; 0: not told yet
  Buffer routed_;
  std::map<const void*, std::vector<const Matrix*>> of_each_type_;
  Buffer thin_;
  std::vector<Words> thinned_;
  Told told_thinning_;
  Told told_ids_, told_positions_, told_places_, told_blocks_, told_tiles_;
};

} // namespace nextoken::cuda
