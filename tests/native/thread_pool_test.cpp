// The pool under stress; meant to run under ThreadSanitizer too. Exits with 1 and says why when a count is wrong.
#include "base/thread_pool.h"

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <vector>

using nextoken::Poll;
using nextoken::ThreadPool;

namespace {

int failures = 0;
void check(bool ok, const char* what) {
  if (ok) return;
  std::printf("FAILED: %s\n", what);
  ++failures;
}

struct ThrowAfter : Poll {
  explicit ThrowAfter(int n) : left(n) {}
  void operator()() override {
    if (--left == 0) throw std::runtime_error("cancelled");
  }
  int left;
};

void every_thread_runs_once_a_region() {
  for (int n : {1, 2, 3, 8}) {
    ThreadPool pool(n);
    std::vector<int> runs(n, 0); // one place a thread: no atomics, so a missing barrier is a race
    for (int region = 0; region < 2000; ++region) pool.run([&](int thread) { ++runs[thread]; });
    for (int r : runs) check(r == 2000, "each thread runs each region once");
  }
}

void every_piece_is_done_once() {
  ThreadPool pool(3);
  for (int64_t n : {0, 1, 2, 7, 100}) {
    std::vector<int> done(n, 0);
    for (int region = 0; region < 200; ++region) pool.for_each(n, nullptr, [&](int64_t i, int) { ++done[i]; });
    for (int d : done) check(d == 200, "each piece is done once");
  }
}

void sleeping_threads_wake() {
  ThreadPool pool(3);
  int64_t sum[3] = {};
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.run([&](int thread) { ++sum[thread]; });
  }
  check(sum[0] == 20 && sum[1] == 20 && sum[2] == 20, "threads wake after a sleep");
}

void an_exception_ends_the_region_and_not_the_pool() {
  ThreadPool pool(3);
  for (int round = 0; round < 100; ++round) {
    bool caught = false;
    try {
      pool.run([&](int thread) {
        if (thread == round % 3) throw std::runtime_error("x");
      });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    check(caught, "an exception of any thread reaches the caller");
  }
  int64_t count[3] = {};
  pool.run([&](int thread) { ++count[thread]; });
  check(count[0] + count[1] + count[2] == 3, "the pool works after exceptions");
}

void poll_stops_the_pieces() {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  ThrowAfter poll(5);
  bool caught = false;
  try {
    pool.for_each(1000000, &poll, [&](int64_t, int) { done.fetch_add(1); });
  } catch (const std::runtime_error&) {
    caught = true;
  }
  check(caught && done.load() < 1000000, "poll stops the pieces");
}

} // namespace

int main() {
  every_thread_runs_once_a_region();
  every_piece_is_done_once();
  sleeping_threads_wake();
  an_exception_ends_the_region_and_not_the_pool();
  poll_stops_the_pieces();
  std::printf(failures ? "%d failed\n" : "thread pool: all passed\n", failures);
  return failures != 0;
}
