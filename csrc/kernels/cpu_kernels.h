// The kernel set on the CPU: one instruction set's table, its work split over a pool of threads.
#pragma once
#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/rope_table.h"
#include "kernels/table.h"

namespace nextoken {

/// Steps on up to ROWS_ON_ONE_THREAD rows run on the calling thread: they cost less than starting a region does.
class CpuKernels : public Kernels {
 public:
  CpuKernels(const KernelTable& table, ThreadPool& pool) : table_(table), pool_(pool), scratch_((size_t)pool.size()) {}

  const char* isa() const override { return table_.name; }
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

 private:
  static constexpr int64_t ROWS_ON_ONE_THREAD = 3;

  /// fn(row) for each row.
  template <class F>
  void each_row(const Batch& batch, int64_t rows, F&& fn) {
    if (rows <= ROWS_ON_ONE_THREAD || pool_.size() == 1) {
      for (int64_t i = 0; i < rows; ++i) fn(i);
      return;
    }
    const int64_t step = std::max<int64_t>(1, rows / (pool_.size() * 4));
    pool_.for_each((rows + step - 1) / step, batch.poll, [&](int64_t piece, int) {
      for (int64_t i = piece * step; i < std::min(rows, (piece + 1) * step); ++i) fn(i);
    });
  }

  void normalize(const Norm& norm, int64_t first, const float* x, int64_t n, float* y) const;
  void quantize_row(const Hidden& h, unsigned forms, int64_t row) const;
  float* scratch(int thread, int64_t floats);
  RopeTable& rope_table(const Rotation& rotation);

  /// Attention on one kv head of one piece (over latents, on some of the heads that share them): a tile of its tokens,
  /// and in decode one segment of their keys.
  struct AttentionTask {
    const BatchPiece* piece;
    const void* const* k_blocks; // of this head; its v_blocks follow, n_blocks further on
    int64_t n_blocks;
    int64_t head; // of queries, the first
    int64_t token_begin, n_tokens;
    int64_t segment;       // -1: all segments, merged
    int64_t partial_begin; // row of the first partial result
  };
  int64_t plan_attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, int64_t group);

  /// Panels of a matrix with the rows of one expert.
  struct ExpertTask {
    const Matrix* matrix;
    int64_t panel_begin, panel_end, row_begin, row_end;
    float* out; // of row 0
  };
  void run_experts(const Batch& batch, const Hidden& h, int64_t stride);

  const KernelTable& table_;
  ThreadPool& pool_;
  std::vector<Buffer> scratch_; // one a thread
  // Kept from layer to layer, so that a decoded token allocates nothing.
  std::vector<const void*> blocks_;
  std::vector<AttentionTask> tasks_;
  std::vector<ExpertTask> expert_tasks_;
  std::vector<int64_t> expert_begin_, place_;
  std::vector<float> choice_, group_scores_; // of each row
  Buffer partials_;
  std::vector<RopeTable> rope_tables_; // one a rotation
  std::vector<int64_t> new_positions_;
};

} // namespace nextoken
