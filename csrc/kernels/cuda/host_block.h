// A block on the processor: the kernels themselves, without a card. A thread runs as far as a barrier or a shuffle, and
// then the next does, in one order or the opposite. For tests.
#pragma once
#include <cstring>
#include <memory>
#include <stdexcept>

#include "kernels/cuda/block.h"
#include "kernels/cuda/host_threads.h"

namespace nextoken::cuda {

/// What the threads of a block share.
struct HostShared {
  /// What a thread gives others of its warp. There are two: some have yet to read one when others write the next.
  struct Post {
    alignas(16) char bytes[2][32];
  };
  Grid place;
  int threads;
  char* memory;
  int64_t bytes;
  Post* posts;
  HostThreads* all;
};

/// One thread's view of its block.
class HostBlock {
 public:
  template <class T>
  struct Local {
    T value;
    T& operator[](int) { return value; }
  };

  HostBlock(const HostShared& shared, int thread)
      : shared_(shared), thread_(thread), next_(shared.memory), end_(shared.memory + shared.bytes) {}

  int64_t x() const { return shared_.place.x; }
  int64_t y() const { return shared_.place.y; }
  int64_t z() const { return shared_.place.z; }
  int threads() const { return shared_.threads; }

  template <class F>
  void each(F f) {
    f(thread_);
    shared_.all->wait(thread_, HostThreads::Wait::block);
  }
  template <class F>
  void own(F f) {
    f(thread_);
  }
  template <class F>
  void each_of_warp(F f) {
    f(thread_);
    shared_.all->wait(thread_, HostThreads::Wait::warp);
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
    exchange(from.value);
    to.value = given<T>(thread_ ^ mask);
  }
  /// c += a b for each warp, each word taken from the thread that has it.
  template <int HALVES>
  void multiply_add(Local<FragmentC>& c, Local<FragmentA<HALVES>>& a, Local<FragmentB<HALVES>>& b) {
    exchange_words(a, b, [&](int i, uint32_t left, uint32_t right) { c.value.v[i] = dot4(left, right, c.value.v[i]); });
  }
  /// The same of bf16: rounded once, where a card rounds as it likes.
  void multiply_add(Local<FragmentF>& c, Local<FragmentA<2>>& a, Local<FragmentB<2>>& b) {
    double sums[4];
    for (int i = 0; i < 4; ++i) sums[i] = c.value.v[i];
    exchange_words(a, b, [&](int i, uint32_t left, uint32_t right) {
      sums[i] += (double)float_of_bits(left << 16) * float_of_bits(right << 16);
      sums[i] += (double)float_of_bits(left & 0xffff0000u) * float_of_bits(right & 0xffff0000u);
    });
    for (int i = 0; i < 4; ++i) c.value.v[i] = (float)sums[i];
  }

 private:
  /// use(i, left, right) for each pair of words that sum i of this thread is of.
  template <int HALVES, class Use>
  void exchange_words(Local<FragmentA<HALVES>>& a, Local<FragmentB<HALVES>>& b, Use use) {
    struct Given {
      FragmentA<HALVES> a;
      FragmentB<HALVES> b;
    };
    exchange(Given{a.value, b.value});
    const int lane = thread_ % WARP, warp = thread_ - lane;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4, column = lane % 4 * 2 + i % 2;
      for (int word = 0; word < 4 * HALVES; ++word) {
        const int h = word / 4, group = word % 4;
        use(i, given<Given>(warp + row * 4 + group).a.v[2 * h + i / 2], given<Given>(warp + column * 4 + group).b.v[h]);
      }
    }
  }
  template <class T>
  void exchange(const T& value) {
    static_assert(sizeof(T) <= sizeof(HostShared::Post::bytes[0]), "a post's room");
    side_ = 1 - side_;
    memcpy(shared_.posts[thread_].bytes[side_], &value, sizeof(T));
    shared_.all->wait(thread_, HostThreads::Wait::warp);
  }
  template <class T>
  const T& given(int thread) const {
    return *reinterpret_cast<const T*>(shared_.posts[thread].bytes[side_]);
  }

  const HostShared& shared_;
  const int thread_;
  char *next_, *end_;
  int side_ = 0;
};

/// All blocks of a grid, one behind the other; shared memory starts as garbage, as on a card.
template <class Kernel>
void run_on_host(Grid grid, int threads, int64_t shared_bytes, bool backwards, const typename Kernel::Args& args) {
  if (threads % WARP != 0 || threads > 1024) throw std::logic_error("a block is no whole number of warps");
  const std::unique_ptr<Words[]> memory(new Words[(size_t)divide_up(shared_bytes, 16)]);
  const std::unique_ptr<HostShared::Post[]> posts(new HostShared::Post[(size_t)threads]);
  HostShared shared{{}, threads, reinterpret_cast<char*>(memory.get()), shared_bytes, posts.get(), nullptr};
  HostThreads all(threads, backwards, [&](int thread) {
    HostBlock block(shared, thread);
    Kernel::run(block, args);
  });
  shared.all = &all;
  const int64_t n = grid.x * grid.y * grid.z;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t b = backwards ? n - 1 - i : i;
    std::memset(shared.memory, 0xff, (size_t)shared_bytes);
    shared.place = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    all.run_block();
  }
}

} // namespace nextoken::cuda
