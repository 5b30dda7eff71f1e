#include "base/pass_queue.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "base/errors.h"
#include "base/system.h"

namespace nextoken {

PassQueue::PassQueue() : owner_(system::process_id()), changed_(std::make_unique<std::condition_variable>()) {}

PassQueue::~PassQueue() {
  // In a forked child, destroying it would wait for the waiters of the parent.
  if (system::process_id() != owner_) (void)changed_.release();
}

PassQueue::Turn::Turn(PassQueue& queue, Poll* poll) : queue_(queue) {
  // Before any lock: one held by another thread at the fork is never released in the child.
  if (system::process_id() != queue.owner_) {
    throw ForkedError("this model was created in process " + std::to_string(queue.owner_) +
                      " and can not be used in its forked child " + std::to_string(system::process_id()) +
                      "; load it in the child, or start the child with the 'spawn' method");
  }
  std::unique_lock<std::mutex> lock(queue.mutex_);
  const uint64_t ticket = queue.next_ticket_++;
  queue.waiting_.push_back(ticket);
  while (queue.waiting_.front() != ticket) {
    queue.changed_->wait_for(lock, std::chrono::milliseconds(20));
    if (queue.waiting_.front() == ticket || !poll) continue;
    lock.unlock();
    try {
      (*poll)();
    } catch (...) {
      lock.lock();
      queue.waiting_.erase(std::find(queue.waiting_.begin(), queue.waiting_.end(), ticket));
      queue.changed_->notify_all();
      throw;
    }
    lock.lock();
  }
}

PassQueue::Turn::~Turn() {
  std::lock_guard<std::mutex> lock(queue_.mutex_);
  queue_.waiting_.erase(queue_.waiting_.begin());
  queue_.changed_->notify_all();
}

} // namespace nextoken
