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

/// One region at a time, started by one caller, who takes part as thread 0. Where work is handed out in pieces the
/// region ends with the last piece, whoever did it: a thread that sleeps, or whose core another program has, is not
/// waited for unless it holds a piece.
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
    region(fn, Ends::when_all_ran);
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
    auto work = [&](int thread) {
      try {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) {
          fn(i, thread);
          if (thread == 0 && poll) (*poll)();
        }
      } catch (...) {
        next.store(n, std::memory_order_relaxed);
        throw;
      }
    };
    region(work, Ends::with_the_pieces);
  }

  /// The same, but each thread has its own share of consecutive pieces, and takes those of others once it has done
  /// them: a thread reads memory that lies together.
  template <class F>
  void divide(int64_t n, Poll* poll, F&& fn) {
    if (n_threads_ == 1 || n == 1) return for_each(n, poll, fn);
    share_out(n, poll, [](int64_t) { return int64_t{1}; }, [&](int64_t i, int64_t, int thread) { fn(i, thread); });
  }

  /// The same with runs of pieces, fn(begin, end, thread): a third of what is left of a share at a time, so that there
  /// are few runs, and threads end together.
  template <class F>
  void divide_runs(int64_t n, F&& fn) {
    if (n_threads_ == 1 || n == 1) return fn(0, n, 0);
    share_out(n, nullptr, [](int64_t left) { return left / 3 > 1 ? left / 3 : 1; }, fn);
  }

 private:
  /// fn(begin, end, thread) for runs of as many pieces as of(pieces left in a share) says.
  template <class Of, class F>
  void share_out(int64_t n, Poll* poll, Of&& of, F&& fn) {
    for (int64_t t = 0; t < n_threads_; ++t) {
      shares_[(size_t)t].next.store(n * t / n_threads_, std::memory_order_relaxed);
      shares_[(size_t)t].end = n * (t + 1) / n_threads_;
    }
    auto work = [&](int thread) {
      try {
        for (int t = 0; t < n_threads_; ++t) {
          Share& share = shares_[(size_t)((thread + t) % n_threads_)];
          for (;;) {
            const int64_t run = of(share.end - share.next.load(std::memory_order_relaxed));
            const int64_t begin = share.next.fetch_add(run, std::memory_order_relaxed); // another may have come before
            if (begin >= share.end) break;
            fn(begin, begin + run < share.end ? begin + run : share.end, thread);
            if (thread == 0 && poll) (*poll)();
          }
        }
      } catch (...) {
        for (Share& share : shares_) share.next.store(share.end, std::memory_order_relaxed);
        throw;
      }
    };
    region(work, Ends::with_the_pieces);
  }

  using Job = void (*)(void* fn, int thread);
  enum class Ends { when_all_ran, with_the_pieces };

  template <class F>
  void region(F& fn, Ends ends) {
    start([](void* f, int thread) { (*static_cast<F*>(f))(thread); }, const_cast<void*>(static_cast<const void*>(&fn)),
          ends);
  }
  void start(Job job, void* fn, Ends ends);
  void work(int thread);
  void end_threads();
  void run_job(int thread) noexcept;
  void run_measured(int thread) noexcept;

  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
    int64_t busy_ns = 0;
  };

  // Parts of door_: threads inside the region, whether it may be entered, whether the pool ends, which region it is.
  static constexpr uint64_t INSIDE = 0xffff, OPEN = 1 << 16, STOP = 1 << 17, REGION = 1 << 18;

  const int n_threads_;
  const int64_t owner_; // process that made the threads: a forked child has none of them
  std::vector<std::thread> threads_;

  // Of the region: written while the door is shut and nobody is inside, read inside.
  Job job_ = nullptr;
  void* fn_ = nullptr;
  Ends ends_ = Ends::when_all_ran;
  std::vector<Share> shares_;

  alignas(64) std::atomic<uint64_t> door_{0};
  std::atomic<int> running_{0}; // threads that have still to run, where all must
  std::atomic<int> sleeping_{0};
  std::mutex mutex_;
  std::unique_ptr<std::condition_variable> wake_ = std::make_unique<std::condition_variable>();
  bool measuring_ = false; // written between regions
  int64_t region_ns_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

} // namespace nextoken
