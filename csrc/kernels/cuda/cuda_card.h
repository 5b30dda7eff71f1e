// A CUDA device: memory, one stream, and launches on it.
#pragma once
#include <cuda_runtime_api.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/device.h"

namespace nextoken::cuda {

#if defined(__CUDACC__)
template <class Kernel>
__global__ void __launch_bounds__(Kernel::THREADS) run_kernel(const __grid_constant__ typename Kernel::Args args) {
  extern __shared__ __align__(16) char shared[];
  DeviceBlock block(shared);
  Kernel::run(block, args);
}
#endif

class Card : public Device {
 public:
  explicit Card(int index);

  void* allocate(int64_t bytes) override;
  void release(void* p) override;
  void copy(void* to, const void* from, int64_t bytes) override;
  void upload(void* to, const void* from, int64_t bytes) override;
  void download(void* to, const void* from, int64_t bytes) override;
  int64_t total_bytes() const override;
  int64_t free_bytes() const override;
  std::string name() const override { return name_; }
  bool multiplies(WeightType type) const override;
  std::unique_ptr<Staging> make_staging(int64_t bytes) override;
  std::unique_ptr<Kernels> make_kernels() override;

  /// Throws std::runtime_error with what failed first since the last call.
  void check();

#if defined(__CUDACC__)
  template <class Kernel>
  void launch(Grid grid, int threads, int64_t shared_bytes, const typename Kernel::Args& args) {
    if (grid.x * grid.y * grid.z == 0 || !ready()) return;
    const dim3 blocks((unsigned)grid.x, (unsigned)grid.y, (unsigned)grid.z);
    allow_shared<Kernel>(shared_bytes);
    run_kernel<Kernel><<<blocks, (unsigned)threads, (size_t)shared_bytes, stream_>>>(args);
    note(cudaGetLastError());
  }
  template <class Kernel>
  void allow_shared(int64_t bytes) {
    if (bytes > 48 * 1024 && ready())
      note(cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
  }
  template <class Kernel>
  static const void* id_of() {
    return (const void*)run_kernel<Kernel>;
  }
#endif

  /// What the log should know; goes nowhere until somebody listens.
  void say(const std::string& text) const {
    if (listener) listener(text);
  }
  std::function<void(const std::string&)> listener;

 private:
  friend class Graph;
  friend class Laps;
  friend class PinnedStaging;
  /// Makes this the thread's device; false once something failed.
  bool ready() const;
  void note(cudaError_t result) const;

  const int index_;
  std::string name_;
  bool pooled_ = false; // memory comes in the stream's order
  bool multiplies_bf16_ = false;
  cudaStream_t stream_ = nullptr;
  mutable std::atomic<cudaError_t> failure_{cudaSuccess}; // the first; caches are freed by any thread
};

/// When the card came to places between launches: events, which are kept for the next laps.
class Laps {
 public:
  explicit Laps(Card& card) : card_(card) {}
  ~Laps();
  Laps(const Laps&) = delete;
  Laps& operator=(const Laps&) = delete;

  void begin();
  void mark();
  /// Waits for the last mark; the nanoseconds between each and the one before it.
  std::vector<int64_t> take();

 private:
  Card& card_;
  std::vector<cudaEvent_t> events_;
  size_t n_ = 0; // of them, marks that were set
};

/// Launches one behind the other, which the card starts as one.
class Graph {
 public:
  Graph(Card& card, const std::vector<Launch>& launches, const std::vector<Words>& args);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  bool made() const { return made_ != nullptr; }
  /// Other arguments for launch i; false if the card refuses.
  bool update(size_t i, const Launch& launch, const Words* args);
  bool launch();

 private:
  Card& card_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t made_ = nullptr;
  std::vector<cudaGraphNode_t> nodes_;
};

} // namespace nextoken::cuda
