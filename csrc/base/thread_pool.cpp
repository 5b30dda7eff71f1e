#include "base/thread_pool.h"

#include <chrono>
#include <new>

#include "base/float_environment.h"
#include "base/system.h"

namespace nextoken {
namespace {

constexpr int SPINS_BEFORE_SLEEP = 4000; // a few tens of microseconds: longer than the gap between two decoded tokens
constexpr int SPINS_BEFORE_YIELD = 2000;

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

ThreadPool::ThreadPool(int n_threads) : n_threads_(n_threads), owner_(system::process_id()), busy_((size_t)n_threads) {
  try {
    for (int i = 1; i < n_threads; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop_ = true;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1);
    }
    wake_->notify_all();
    for (std::thread& t : threads_) t.join();
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
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1);
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
  busy_[(size_t)thread].ns += now_ns() - begin;
}

int64_t ThreadPool::busy_ns() const {
  int64_t sum = 0;
  for (const Busy& b : busy_) sum += b.ns;
  return sum;
}

void ThreadPool::start(Job job, void* fn) {
  const int64_t begin = measuring_ ? now_ns() : 0;
  job_ = job;
  fn_ = fn;
  running_.store(n_threads_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    // Under the lock, so that a thread between its last look and its wait is not missed.
    std::lock_guard<std::mutex> lock(mutex_);
    wake_->notify_all();
  }
  measuring_ ? run_measured(0) : run_job(0);
  for (int spins = 0; running_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < SPINS_BEFORE_YIELD) {
      pause_cpu();
    } else {
      std::this_thread::yield(); // a thread may be waiting for this very core
    }
  }
  if (measuring_) region_ns_ += now_ns() - begin;
  if (error_) {
    const std::exception_ptr error = error_;
    error_ = nullptr;
    std::rethrow_exception(error);
  }
}

void ThreadPool::work(int thread) {
  set_default_float_environment();
  uint32_t seen = 0;
  for (;;) {
    uint32_t now = generation_.load(std::memory_order_acquire);
    for (int spins = 0; now == seen && spins < SPINS_BEFORE_SLEEP; ++spins) {
      pause_cpu();
      now = generation_.load(std::memory_order_acquire);
    }
    if (now == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_->wait(lock, [&] { return (now = generation_.load(std::memory_order_seq_cst)) != seen; });
      sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    seen = now;
    if (stop_.load(std::memory_order_relaxed)) return;
    measuring_ ? run_measured(thread) : run_job(thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

} // namespace nextoken
