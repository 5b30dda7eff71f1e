// A fair lock: callers are served in the order they came, and may give up while they wait.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/poll.h"

namespace nextoken {

class PassQueue {
 public:
  /// Waits for its turn, polling at least every 20 ms; throws what poll throws, having left the queue.
  /// In a forked child it throws std::runtime_error: the threads of the pool stayed in the parent.
  class Turn {
   public:
    Turn(PassQueue& queue, Poll* poll);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    PassQueue& queue_;
  };

  PassQueue();
  ~PassQueue();

 private:
  const int64_t owner_; // process id
  std::mutex mutex_;
  std::unique_ptr<std::condition_variable> changed_;
  std::vector<uint64_t> waiting_; // the front one has its turn; few, and a vector keeps its memory
  uint64_t next_ticket_ = 0;
};

} // namespace nextoken
