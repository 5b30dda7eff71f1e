// A block walked through by the processor: the kernels themselves, without a card. For tests.
#pragma once
#include <cstring>
#include <memory>
#include <stdexcept>

#include "kernels/cuda/block.h"

namespace nextoken::cuda {

constexpr int MOST_THREADS = 1024;

class HostBlock {
 public:
  template <class T>
  struct Local {
    T values[MOST_THREADS];
    T& operator[](int thread) { return values[thread]; }
  };

  HostBlock(Grid place, int threads, char* shared, int64_t shared_bytes, bool backwards)
      : place_(place), threads_(threads), next_(shared), end_(shared + shared_bytes), backwards_(backwards) {}

  int64_t x() const { return place_.x; }
  int64_t y() const { return place_.y; }
  int64_t z() const { return place_.z; }
  int threads() const { return threads_; }

  template <class F>
  void each(F f) {
    if (backwards_) {
      for (int t = threads_ - 1; t >= 0; --t) f(t);
    } else {
      for (int t = 0; t < threads_; ++t) f(t);
    }
  }
  template <class F>
  void own(F f) {
    each(f);
  }
  template <class T>
  T* shared(int64_t n) {
    const int64_t bytes = shared_size(n * (int64_t)sizeof(T));
    if (bytes > end_ - next_) throw std::logic_error("a kernel takes more shared memory than its launch gives");
    char* const p = next_;
    next_ += bytes;
    return reinterpret_cast<T*>(p);
  }
  template <class T>
  void shuffle_xor(Local<T>& to, Local<T>& from, int mask) {
    for (int t = 0; t < threads_; ++t) to[t] = from[t ^ mask];
  }
  /// c += a b for each warp, each word taken from the thread that has it.
  template <int HALVES>
  void multiply_add(Local<FragmentC>& c, Local<FragmentA<HALVES>>& a, Local<FragmentB<HALVES>>& b) {
    for (int t = 0; t < threads_; ++t) {
      const int warp = t / WARP * WARP;
      for (int i = 0; i < 4; ++i) {
        const int row = t % WARP / 4, column = t % 4 * 2 + i % 2;
        for (int word = 0; word < 4 * HALVES; ++word) {
          const int h = word / 4, group = word % 4;
          c[t].v[i] = dot4(a[warp + row * 4 + group].v[2 * h + i / 2], b[warp + column * 4 + group].v[h], c[t].v[i]);
        }
      }
    }
  }

 private:
  Grid place_;
  int threads_;
  char *next_, *end_;
  bool backwards_;
};

/// All blocks of a grid, one behind the other; shared memory starts as garbage, as on a card.
template <class Kernel>
void run_on_host(Grid grid, int threads, int64_t shared_bytes, bool backwards, const typename Kernel::Args& args) {
  if (threads % WARP != 0 || threads > MOST_THREADS) throw std::logic_error("a block is no whole number of warps");
  const std::unique_ptr<Words[]> shared(new Words[(size_t)divide_up(shared_bytes, 16)]);
  const int64_t n = grid.x * grid.y * grid.z;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t b = backwards ? n - 1 - i : i;
    std::memset(static_cast<void*>(shared.get()), 0xff, (size_t)shared_bytes);
    HostBlock block({b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y}, threads,
                    reinterpret_cast<char*>(shared.get()), shared_bytes, backwards);
    Kernel::run(block, args);
  }
}

} // namespace nextoken::cuda
