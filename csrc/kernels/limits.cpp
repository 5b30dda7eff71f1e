#include "kernels/limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/buffer.h"
#include "kernels/peaks.h"

namespace nextoken {
namespace {

constexpr int64_t READ_BYTES = int64_t{256} << 20;
constexpr int TRIES = 5;

void read(const uint64_t* words, int64_t n) {
  uint64_t sums[16] = {};
  for (int64_t i = 0; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  asm volatile("" : : "r"(sums) : "memory");
}

/// The shortest time of a region of fn(thread).
template <class F>
double best_seconds(ThreadPool& pool, Poll& poll, F&& fn) {
  double best = 1e30;
  for (int i = 0; i < TRIES; ++i) {
    poll();
    const auto start = std::chrono::steady_clock::now();
    pool.run(fn);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double macs_per_s(ThreadPool& pool, Poll& poll, const Peak& peak) {
  const int64_t turns = 100'000'000 / 20 / 12; // 10 to 40 ms at the rates of today
  const double seconds = best_seconds(pool, poll, [&](int) { peak.run(turns); });
  return (double)(peak.macs * turns * pool.size()) / seconds;
}

} // namespace

MachineLimits measure_limits(ThreadPool& pool, const KernelTable& kernels, Poll& poll) {
  const Buffer memory(READ_BYTES, "the measurement of memory bandwidth");
  const int64_t share = READ_BYTES / 8 / pool.size() / 16 * 16; // words
  pool.run([&](int thread) { std::memset(memory.as<uint64_t>() + thread * share, 1, (size_t)share * 8); });
  const double seconds =
      best_seconds(pool, poll, [&](int thread) { read(memory.as<uint64_t>() + thread * share, share); });
  const Peaks peaks = peaks_of(kernels.name);
  const double floats = macs_per_s(pool, poll, peaks.floats);
  return {(double)(share * 8 * pool.size()) / seconds, macs_per_s(pool, poll, peaks.int8), floats,
          peaks.bf16.run ? macs_per_s(pool, poll, peaks.bf16) : floats};
}

} // namespace nextoken
