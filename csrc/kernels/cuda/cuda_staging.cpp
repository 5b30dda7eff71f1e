// Pinned memory, from which a card copies while the processor does something else.
#include <new>

#include "kernels/cuda/cuda_card.h"

namespace nextoken::cuda {

class PinnedStaging : public Staging {
 public:
  PinnedStaging(Card& card, int64_t bytes) : card_(card) {
    for (int i = 0; i < 2; ++i) {
      if (!card_.ready()) break;
      if (cudaHostAlloc(&buffers_[i], (size_t)bytes, cudaHostAllocDefault) != cudaSuccess) {
        cudaGetLastError();
        buffers_[i] = nullptr;
        release();
        throw std::bad_alloc();
      }
      card_.note(cudaEventCreateWithFlags(&copied_[i], cudaEventDisableTiming));
    }
    if (buffers_[1]) return;
    release();
    card_.check(); // throws what the card said before
    throw std::bad_alloc();
  }
  ~PinnedStaging() override { release(); }

  uint8_t* next() override {
    current_ = 1 - current_;
    if (card_.ready()) card_.note(cudaEventSynchronize(copied_[current_]));
    return static_cast<uint8_t*>(buffers_[current_]);
  }

  void send(void* to, int64_t bytes) override {
    if (!card_.ready()) return;
    card_.note(cudaMemcpyAsync(to, buffers_[current_], (size_t)bytes, cudaMemcpyHostToDevice, card_.stream_));
    card_.note(cudaEventRecord(copied_[current_], card_.stream_));
  }

 private:
  void release() {
    for (int i = 0; i < 2; ++i) {
      if (copied_[i]) cudaEventSynchronize(copied_[i]), cudaEventDestroy(copied_[i]);
      if (buffers_[i]) cudaFreeHost(buffers_[i]);
    }
  }

  Card& card_;
  int current_ = 1;
  void* buffers_[2] = {};
  cudaEvent_t copied_[2] = {}; // an event that was not recorded is waited for in no time
};

std::unique_ptr<Staging> Card::make_staging(int64_t bytes) { return std::make_unique<PinnedStaging>(*this, bytes); }

} // namespace nextoken::cuda
