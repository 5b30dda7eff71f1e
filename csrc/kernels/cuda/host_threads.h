// The threads of a block on the processor: each has a stack of its own, and runs alone until it waits for the others.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace nextoken::cuda {

class HostThreads {
 public:
  enum class Wait { warp, block };

  /// run(t) is what thread t does in a block; `backwards`: the last thread goes first, each time.
  HostThreads(int n, bool backwards, std::function<void(int)> run);
  ~HostThreads();

  /// All threads, to their end. Throws what one of them throws, and std::logic_error if some would wait for ever.
  void run_block();
  /// Called by a thread: returns when all of its warp, or of its block, have called it too.
  void wait(int thread, Wait for_whom);

 private:
  struct Fibers;
  std::unique_ptr<Fibers> fibers_;
};

} // namespace nextoken::cuda
