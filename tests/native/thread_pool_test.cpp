// The pool under stress; meant to run under ThreadSanitizer too. Exits with 1 and says why when a count is wrong.
#include "base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/pass_queue.h"

using nextoken::PassQueue;
using nextoken::Poll;
using nextoken::ThreadPool;

namespace {

std::atomic<int> failures{0};
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

void shares_of_a_slow_thread_are_done_by_others() {
  ThreadPool pool(2);
  constexpr int64_t N = 64;
  for (int round = 0; round < 20; ++round) {
    std::vector<int> done(N, 0);
    std::atomic<int64_t> n_done{0};
    pool.divide(N, nullptr, [&](int64_t i, int) {
      ++done[i];
      if (i == 0) { // its thread does nothing else: the rest of its share must be taken, or this waits for ever
        while (n_done.load() < N - 1) std::this_thread::yield();
      }
      n_done.fetch_add(1);
    });
    for (int d : done) check(d == 1, "each piece of a share is done once");
  }
}

void runs_cover_every_piece_once() {
  ThreadPool pool(3);
  for (int64_t n : {1, 2, 3, 7, 64, 1000}) {
    for (int round = 0; round < 50; ++round) {
      std::vector<int> done((size_t)n, 0);
      pool.divide_runs(n, [&](int64_t begin, int64_t end, int) {
        check(begin < end, "a run has a piece");
        for (int64_t i = begin; i < end; ++i) ++done[(size_t)i];
      });
      for (int d : done) check(d == 1, "each piece is in one run");
    }
  }
}

void kinds_of_regions_mix() {
  ThreadPool pool(3);
  for (int round = 0; round < 500; ++round) {
    std::vector<int> runs(3, 0), pieces(10, 0), shares(10, 0);
    pool.divide(10, nullptr, [&](int64_t i, int) { ++shares[i]; });
    pool.run([&](int thread) { ++runs[thread]; });
    pool.for_each(10, nullptr, [&](int64_t i, int) { ++pieces[i]; });
    for (int r : runs) check(r == 1, "a region for all threads waits for all");
    for (int i = 0; i < 10; ++i) check(pieces[i] == 1 && shares[i] == 1, "pieces are done before the region ends");
  }
}

void an_exception_ends_the_shares() {
  ThreadPool pool(2);
  for (int64_t bad : {0, 40, 63}) {
    bool caught = false;
    try {
      pool.divide(64, nullptr, [&](int64_t i, int) {
        if (i == bad) throw std::runtime_error("x");
      });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    check(caught, "an exception of any piece reaches the caller");
  }
}

void pools_of_several_callers_do_not_meet() {
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([] {
      ThreadPool pool(2);
      std::vector<int64_t> sums(7, 0);
      for (int round = 0; round < 300; ++round) pool.divide(7, nullptr, [&](int64_t i, int) { sums[i] += i; });
      for (int64_t i = 0; i < 7; ++i) check(sums[i] == 300 * i, "pools beside each other keep apart");
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void turns_of_several_callers_share_a_pool() {
  PassQueue queue;
  ThreadPool pool(2);
  std::vector<int> counts(16, 0); // plain: a turn that overlaps another is a race
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const PassQueue::Turn turn(queue, nullptr);
        pool.divide(16, nullptr, [&](int64_t i, int) { ++counts[i]; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (int count : counts) check(count == 200, "callers take turns");
}

} // namespace

int main() {
  every_thread_runs_once_a_region();
  every_piece_is_done_once();
  sleeping_threads_wake();
  an_exception_ends_the_region_and_not_the_pool();
  poll_stops_the_pieces();
  shares_of_a_slow_thread_are_done_by_others();
  runs_cover_every_piece_once();
  kinds_of_regions_mix();
  an_exception_ends_the_shares();
  pools_of_several_callers_do_not_meet();
  turns_of_several_callers_share_a_pool();
  std::printf(failures ? "%d failed\n" : "thread pool: all passed\n", failures.load());
  return failures != 0;
}
