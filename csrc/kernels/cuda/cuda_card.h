// A CUDA device: memory, one stream, and launches on it.
#pragma once
#include <cuda_runtime_api.h>

#include <atomic>
#include <string>

#include "kernels/cuda/block.h"
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
  std::unique_ptr<Kernels> make_kernels() override;

  /// Throws std::runtime_error with what failed first since the last call.
  void check();

#if defined(__CUDACC__)
  template <class Kernel>
  void launch(Grid grid, int threads, int64_t shared_bytes, const typename Kernel::Args& args) {
    if (grid.x * grid.y * grid.z == 0 || !ready()) return;
    const dim3 blocks((unsigned)grid.x, (unsigned)grid.y, (unsigned)grid.z);
    if (shared_bytes > 48 * 1024)
      note(cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes));
    run_kernel<Kernel><<<blocks, (unsigned)threads, (size_t)shared_bytes, stream_>>>(args);
    note(cudaGetLastError());
  }
#endif

 private:
  /// Makes this the thread's device; false once something failed.
  bool ready() const;
  void note(cudaError_t result) const;

  const int index_;
  std::string name_;
  bool pooled_ = false; // memory comes in the stream's order
  cudaStream_t stream_ = nullptr;
  mutable std::atomic<cudaError_t> failure_{cudaSuccess}; // the first; caches are freed by any thread
};

} // namespace nextoken::cuda
