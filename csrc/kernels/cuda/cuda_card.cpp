#include "kernels/cuda/cuda_card.h"

#include <stdexcept>

#include "kernels/cuda/cuda_kernels.h"

namespace nextoken::cuda {

Card::Card(int index) : index_(index) {
  cudaDeviceProp properties{};
  note(cudaGetDeviceProperties(&properties, index));
  multiplies_bf16_ = properties.major >= 8;
  name_ = std::string("card ") + std::to_string(index) + ", " + properties.name;
  check();
  ready();
  note(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  int pools = 0;
  note(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index));
  pooled_ = pools != 0;
  check();
}

bool Card::ready() const {
  if (failure_ == cudaSuccess) note(cudaSetDevice(index_));
  return failure_ == cudaSuccess;
}

void Card::note(cudaError_t result) const {
  cudaError_t none = cudaSuccess;
  failure_.compare_exchange_strong(none, result);
}

void Card::check() {
  const cudaError_t failure = failure_.exchange(cudaSuccess);
  if (failure == cudaSuccess) return;
  throw std::runtime_error((name_.empty() ? "the card" : name_) + ": " + cudaGetErrorString(failure) + " (" +
                           cudaGetErrorName(failure) + ")");
}

void* Card::allocate(int64_t bytes) {
  if (!ready()) return nullptr;
  void* p = nullptr;
  const cudaError_t result = pooled_ ? cudaMallocAsync(&p, (size_t)bytes, stream_) : cudaMalloc(&p, (size_t)bytes);
  if (result != cudaSuccess) {
    cudaGetLastError(); // is told to the caller, and not kept
    if (result != cudaErrorMemoryAllocation) note(result);
    return nullptr;
  }
  note(cudaMemsetAsync(p, 0, (size_t)bytes, stream_));
  return p;
}

void Card::release(void* p) {
  if (ready()) note(pooled_ ? cudaFreeAsync(p, stream_) : cudaFree(p));
}

void Card::copy(void* to, const void* from, int64_t bytes) {
  if (ready()) note(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToDevice, stream_));
}

void Card::upload(void* to, const void* from, int64_t bytes) {
  // From memory that is not pinned: returns when `from` has been read.
  if (ready()) note(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyHostToDevice, stream_));
}

void Card::download(void* to, const void* from, int64_t bytes) {
  if (!ready()) return;
  note(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToHost, stream_));
  note(cudaStreamSynchronize(stream_));
}

int64_t Card::total_bytes() const {
  size_t free = 0, total = 0;
  if (ready()) note(cudaMemGetInfo(&free, &total));
  return (int64_t)total;
}

int64_t Card::free_bytes() const {
  size_t free = 0, total = 0;
  if (ready()) note(cudaStreamSynchronize(stream_)); // what was freed in the stream's order is the pool's until then
  if (ready()) note(cudaMemGetInfo(&free, &total));
  return (int64_t)free;
}

Laps::~Laps() {
  for (const cudaEvent_t event : events_) cudaEventDestroy(event);
}

void Laps::begin() {
  n_ = 0;
  mark();
}

void Laps::mark() {
  if (!card_.ready()) return;
  if (n_ == events_.size()) {
    cudaEvent_t event = nullptr;
    card_.note(cudaEventCreate(&event));
    if (!event) return;
    events_.push_back(event);
  }
  card_.note(cudaEventRecord(events_[n_++], card_.stream_));
}

std::vector<int64_t> Laps::take() {
  if (n_ > 0 && card_.ready()) card_.note(cudaEventSynchronize(events_[n_ - 1]));
  std::vector<int64_t> ns;
  for (size_t i = 1; i < n_ && card_.ready(); ++i) {
    float ms = 0.0f;
    card_.note(cudaEventElapsedTime(&ms, events_[i - 1], events_[i]));
    ns.push_back((int64_t)((double)ms * 1e6));
  }
  card_.check();
  return ns;
}

bool Card::multiplies(WeightType type) const {
  return cuda::multiplies(type) && (type != WeightType::bf16 || multiplies_bf16_);
}
std::unique_ptr<Kernels> Card::make_kernels() { return std::make_unique<CudaKernels>(*this); }

} // namespace nextoken::cuda
