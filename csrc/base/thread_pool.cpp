#include "base/thread_pool.h"

#include <chrono>
#include <new>

#include "base/float_environment.h"
#include "base/system.h"

namespace nextoken {
namespace {

// A pause takes 10 to 40 ns. A thread without work does not yield but sleeps, so that the system places it anew when it
// is woken: yielding, it was seen to stay on the core of the caller it waits for.
constexpr int SPINS_BEFORE_SLEEP = 4000; // longer than a pass is between two regions
constexpr int SPINS_BEFORE_YIELD = 2000; // of the caller, who has to wait

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

} // namespace

ThreadPool::ThreadPool(int n_threads)
    : n_threads_(n_threads), owner_(system::process_id()), shares_((size_t)n_threads) {
  try {
    for (int i = 1; i < n_threads; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    end_threads();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  if (system::process_id() != owner_) {
    // After a fork the threads do not exist here: joining would wait for ever, and their handles must not end the
    // process.
    for (std::thread& t : threads_) t.detach();
    // Destroying it would wait for its waiters, who stayed in the parent.
    (void)wake_.release();
    return;
  }
  end_threads();
}

void ThreadPool::end_threads() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    door_.fetch_or(STOP);
  }
  wake_->notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::run_job(int thread) noexcept {
  try {
    job_(fn_, thread);
  } catch (...) {
    std::lock_guard<std::mutex> lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::run_measured(int thread) noexcept {
  const int64_t begin = now_ns();
  run_job(thread);
  shares_[(size_t)thread].busy_ns += now_ns() - begin;
}

int64_t ThreadPool::busy_ns() const {
  int64_t sum = 0;
  for (const Share& share : shares_) sum += share.busy_ns;
  return sum;
}

namespace {

/// Spins while waiting() is true, and gives the core away in between if that lasts.
template <class F>
void spin_while(F&& waiting) {
  for (int spins = 0; waiting(); ++spins) {
    if (spins < SPINS_BEFORE_YIELD) {
      pause_cpu();
    } else {
      std::this_thread::yield(); // a thread may be waiting for this very core
    }
  }
}

} // namespace

void ThreadPool::start(Job job, void* fn, Ends ends) {
  const int64_t begin = measuring_ ? now_ns() : 0;
  job_ = job;
  fn_ = fn;
  ends_ = ends;
  if (ends == Ends::when_all_ran) running_.store(n_threads_ - 1, std::memory_order_relaxed);
  door_.fetch_add(REGION + OPEN, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    // Under the lock, so that a thread between its last look and its wait is not missed.
    std::lock_guard<std::mutex> lock(mutex_);
    wake_->notify_all();
  }
  measuring_ ? run_measured(0) : run_job(0);
  if (ends == Ends::when_all_ran) spin_while([&] { return running_.load(std::memory_order_acquire) > 0; });
  door_.fetch_sub(OPEN, std::memory_order_acq_rel);
  spin_while([&] { return (door_.load(std::memory_order_acquire) & INSIDE) != 0; });
  if (measuring_) region_ns_ += now_ns() - begin;
  if (error_) {
    const std::exception_ptr error = error_;
    error_ = nullptr;
    std::rethrow_exception(error);
  }
}

void ThreadPool::work(int thread) {
  set_default_float_environment();
  uint64_t seen = 0; // the last region this thread was in
  const auto calls = [&](uint64_t door) { return (door & STOP) != 0 || ((door & OPEN) != 0 && door / REGION != seen); };
  for (;;) {
    uint64_t door = door_.load(std::memory_order_acquire);
    for (int spins = 0; !calls(door) && spins < SPINS_BEFORE_SLEEP; ++spins) {
      pause_cpu();
      door = door_.load(std::memory_order_acquire);
    }
    if (!calls(door)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_->wait(lock, [&] { return calls(door = door_.load(std::memory_order_seq_cst)); });
      sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (door & STOP) return;
    // The region may have ended since, or another begun: what counts is what the door said as this thread went in.
    door = door_.fetch_add(1, std::memory_order_acq_rel);
    if ((door & OPEN) != 0 && door / REGION != seen) {
      seen = door / REGION;
      measuring_ ? run_measured(thread) : run_job(thread);
      if (ends_ == Ends::when_all_ran) running_.fetch_sub(1, std::memory_order_release);
    }
    door_.fetch_sub(1, std::memory_order_release);
  }
}

} // namespace nextoken
