// Threads that stay: a region costs a fraction of a microsecond while they spin, and nothing while they sleep.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/poll.h"

namespace nextoken {

/// One region at a time, started by one caller, who takes part as thread 0.
class ThreadPool {
 public:
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return n_threads_; }

  /// Between regions: add up from now on how long they take and how long each thread works in them, or stop that.
  void measure(bool on) { measuring_ = on; }
  int64_t region_ns() const { return region_ns_; }
  /// Summed over the threads.
  int64_t busy_ns() const;

  /// Runs fn(thread) once on every thread and returns when all are done; the first exception thrown is rethrown.
  template <class F>
  void run(F&& fn) {
    if (n_threads_ == 1) return fn(0);
    start([](void* f, int thread) { (*static_cast<std::remove_reference_t<F>*>(f))(thread); }, &fn);
  }

  /// Runs fn(piece, thread) for each piece in [0, n), handed out in order as threads become free. The caller polls
  /// after each of its pieces; when poll throws, no further piece is started.
  template <class F>
  void for_each(int64_t n, Poll* poll, F&& fn) {
    if (n_threads_ == 1 || n == 1) {
      for (int64_t i = 0; i < n; ++i) {
        fn(i, 0);
        if (poll) (*poll)();
      }
      return;
    }
    std::atomic<int64_t> next{0};
    run([&](int thread) {
      try {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) {
          fn(i, thread);
          if (thread == 0 && poll) (*poll)();
        }
      } catch (...) {
        next.store(n, std::memory_order_relaxed);
        throw;
      }
    });
  }

 private:
  using Job = void (*)(void* fn, int thread);
  void start(Job job, void* fn);
  void work(int thread);
  void run_job(int thread) noexcept;
  void run_measured(int thread) noexcept;

  struct alignas(64) Busy {
    int64_t ns = 0;
  };

  const int n_threads_;
  const int64_t owner_; // process that made the threads: a forked child has none of them
  std::vector<std::thread> threads_;

  Job job_ = nullptr;
  void* fn_ = nullptr;
  std::atomic<uint32_t> generation_{0};
  std::atomic<int> running_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::unique_ptr<std::condition_variable> wake_ = std::make_unique<std::condition_variable>();
  bool measuring_ = false; // written between regions, as the two below are read
  int64_t region_ns_ = 0;
  std::vector<Busy> busy_;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

} // namespace nextoken
