// How a kernel is written: a struct with Args and
//   template <class Block> static NEXTOKEN_KERNEL void run(Block& block, const Args& args)
// in phases. `block.each(f)` calls f(thread) for all threads of the block, and is followed by a barrier; `block.own(f)`
// is one without, for phases that touch nothing another thread reads before the next barrier; `block.each_of_warp(f)`
// has a barrier of each warp. What a thread keeps from phase to phase is a Local. Loops around phases are the same for
// all threads. On a card each thread runs its own part of a phase; so it does in tests on a HostBlock, one thread after
// the other, forwards or backwards: where one reads what another writes and no barrier is between, answers differ then.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/fragment.h"

namespace nextoken::cuda {

struct Grid {
  int64_t x, y = 1, z = 1;
};

constexpr int WARP = 32;
constexpr int64_t SHARED_ALIGNMENT = 16;

NEXTOKEN_HD int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
NEXTOKEN_HD int64_t shared_size(int64_t bytes) { return divide_up(bytes, SHARED_ALIGNMENT) * SHARED_ALIGNMENT; }

/// A wide load or store: 16 bytes at once.
struct alignas(16) Words {
  uint32_t v[4];
};
NEXTOKEN_HD Words load_words(const void* p) { return *(const Words*)p; }

/// *p += n for all threads of all blocks at once; what was there before.
NEXTOKEN_HD int add_to(int32_t* p, int32_t n) {
#if defined(__CUDA_ARCH__)
  return atomicAdd(p, n);
#else
  const int32_t before = *p;
  *p += n;
  return before;
#endif
}

#if defined(__CUDACC__)

/// One thread's view of its block on a card.
class DeviceBlock {
 public:
  template <class T>
  struct Local {
    T value;
    __device__ __forceinline__ T& operator[](int) { return value; }
  };

  __device__ explicit DeviceBlock(char* shared) : next_(shared) {}
  __device__ int64_t x() const { return blockIdx.x; }
  __device__ int64_t y() const { return blockIdx.y; }
  __device__ int64_t z() const { return blockIdx.z; }
  __device__ int threads() const { return (int)blockDim.x; }

  template <class F>
  __device__ __forceinline__ void each(F f) {
    f((int)threadIdx.x);
    __syncthreads();
  }
  template <class F>
  __device__ __forceinline__ void own(F f) {
    f((int)threadIdx.x);
  }
  template <class F>
  __device__ __forceinline__ void each_of_warp(F f) {
    f((int)threadIdx.x);
    __syncwarp();
  }
  /// Memory of the block, not initialised; the same n in all threads.
  template <class T>
  __device__ __forceinline__ T* shared(int64_t n) {
    T* const p = reinterpret_cast<T*>(next_);
    next_ += shared_size(n * (int64_t)sizeof(T));
    return p;
  }
  /// to = what the thread whose number in the warp differs in `mask` has in `from`.
  template <class T>
  __device__ __forceinline__ void shuffle_xor(Local<T>& to, Local<T>& from, int mask) {
    to.value = __shfl_xor_sync(0xffffffffu, from.value, mask);
  }
  /// c += a b for each warp.
  template <int HALVES>
  __device__ __forceinline__ void multiply_add(Local<FragmentC>& c, Local<FragmentA<HALVES>>& a,
                                               Local<FragmentB<HALVES>>& b) {
    cuda::multiply_add(c.value, a.value, b.value);
  }
  /// The same of bf16, in an order that the card has.
  __device__ __forceinline__ void multiply_add(Local<FragmentF>& c, Local<FragmentA<2>>& a, Local<FragmentB<2>>& b) {
    cuda::multiply_add(c.value, a.value, b.value);
  }

 private:
  char* next_;
};

#endif

/// Sums of sixteen neighbouring threads in the CPU's tree, 8 apart first: every one of them has it afterwards.
template <class Block>
NEXTOKEN_KERNEL void fold_add16(Block& block, typename Block::template Local<float>& value) {
  typename Block::template Local<float> other;
  for (int mask = 8; mask >= 1; mask /= 2) {
    block.shuffle_xor(other, value, mask);
    block.own([&](int t) { value[t] = value[t] + other[t]; });
  }
}

/// The largest of `n` neighbouring threads, a power of two up to 32.
template <class Block, class T>
NEXTOKEN_KERNEL void fold_max(Block& block, T& value, int n) {
  T other;
  for (int mask = n / 2; mask >= 1; mask /= 2) {
    block.shuffle_xor(other, value, mask);
    block.own([&](int t) { value[t] = other[t] > value[t] ? other[t] : value[t]; });
  }
}

} // namespace nextoken::cuda
