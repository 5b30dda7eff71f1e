// The kernel set of a pass that is being profiled: every call goes to the model's own kernels and is timed, on a device
// by its own clock.
#pragma once
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/profile.h"

namespace nextoken {

class ProfiledKernels : public Kernels {
 public:
  ProfiledKernels(const Model& model, Profile::Recording& recording)
      : inner_(*model.kernels), weights_(model.weights), recording_(recording), on_device_(model.device != nullptr) {}

  const char* isa() const override { return inner_.isa(); }
  void finish() override;
  /// What the processor did since the last lap was `op`; where a device computes meanwhile, that is told later.
  void lap_of_processor(Op op);
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
  void head_matmul(const Batch& batch, Rows<const float> x, const std::vector<Matrix>& heads, Hidden& room,
                   Rows<float> y) override;
  void route(const Batch& batch, const RoutingSpec& spec, Rows<float> scores, Routes& routes) override;
  void experts(const Batch& batch, const Routes& routes, const std::vector<Expert>& experts, Gate gate, const Hidden& h,
               ExpertRoom& room, Rows<float> y) override;
  void add_gated(const Batch& batch, Rows<const float> score, Rows<float> part, Rows<float> y) override;
  void add_residual(const Batch& batch, Rows<float> y, const Norm& norm, Rows<float> x) override;
  void soft_cap(const Batch& batch, float cap, Rows<float> x) override;
  void thin(Rows<const float> logits, const std::vector<Thinning>& how, std::vector<ThinRow>& rows) override;

 private:
  void begin();
  void lap(Op op, const OpTotals& work = {});
  void settle(Op rest);
  Op op_of(const Linear& w) const;

  Kernels& inner_;
  const Weights& weights_;
  Profile::Recording& recording_;
  const bool on_device_;
  std::vector<DeviceLap> laps_; // whose times the device has not told yet
};

} // namespace nextoken
