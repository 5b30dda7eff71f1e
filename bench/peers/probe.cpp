// The machine's own limits: GB/s of reading, billions of multiply-adds a second in int8 and float32, by instruction
// set.
//   probe THREADS BYTES     prints JSON; reading is the median, the rest the best of several tries, all threads at
//   once.
//                           Then prints the speed of reading again for each line of stdin.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/peaks.h"

namespace {

using Clock = std::chrono::steady_clock;
int n_threads = 1;
std::atomic<uint64_t> sink{0};

// Seconds until the last of n_threads has run `work(thread)`, from the moment that all are there.
double together(const std::function<void(int)>& work) {
  std::atomic<int> there{0};
  std::vector<std::thread> threads;
  std::vector<Clock::time_point> starts(n_threads), ends(n_threads);
  for (int t = 0; t < n_threads; ++t)
    threads.emplace_back([&, t] {
      ++there;
      while (there < n_threads) {
      }
      starts[t] = Clock::now();
      work(t);
      ends[t] = Clock::now();
    });
  for (std::thread& thread : threads) thread.join();
  Clock::time_point first = starts[0], last = ends[0];
  for (int t = 1; t < n_threads; ++t) first = std::min(first, starts[t]), last = std::max(last, ends[t]);
  return std::chrono::duration<double>(last - first).count();
}

#if defined(__x86_64__)
#define KERNEL(isa) __attribute__((target(isa), noinline))
#else
#define KERNEL(isa) __attribute__((noinline))
#endif

#if defined(__x86_64__)
KERNEL("avx2") uint64_t read_all(const char* from, int64_t bytes) {
  __m256i sums[8] = {};
  for (int64_t at = 0; at < bytes; at += 256)
    for (int i = 0; i < 8; ++i)
      sums[i] = _mm256_xor_si256(sums[i], _mm256_load_si256((const __m256i*)(from + at + 32 * i)));
  __m256i all = sums[0];
  for (int i = 1; i < 8; ++i) all = _mm256_xor_si256(all, sums[i]);
  return (uint64_t)_mm256_extract_epi64(all, 0);
}
#else
uint64_t read_all(const char* from, int64_t bytes) {
  uint64_t sum = 0;
  for (const uint64_t* word = (const uint64_t*)from; word < (const uint64_t*)(from + bytes); ++word) sum ^= *word;
  return sum;
}
#endif

// Memory as large as a model, in huge pages where the system has some, as an engine would hold it.
class Reading {
 public:
  explicit Reading(int64_t bytes) : part_(bytes / n_threads / 4096 * 4096) {
    buffer_ = (char*)std::aligned_alloc(1 << 21, (part_ * n_threads + (1 << 21) - 1) >> 21 << 21);
    if (!buffer_) std::abort();
    madvise(buffer_, part_ * n_threads, MADV_HUGEPAGE);
    together([&](int t) {
      for (int64_t i = 0; i < part_; i += 8) *(int64_t*)(buffer_ + t * part_ + i) = i;
    });
  }
  ~Reading() { std::free(buffer_); }
  Reading(const Reading&) = delete;

  // GB/s, the median of as many passes as fit.
  double gigabytes_per_second(double for_seconds) const {
    std::vector<double> seconds;
    for (double spent = 0; seconds.size() < 3 || (spent < for_seconds && seconds.size() < 200); spent += seconds.back())
      seconds.push_back(together([&](int t) { sink += read_all(buffer_ + t * part_, part_); }));
    std::sort(seconds.begin(), seconds.end());
    return (double)(part_ * n_threads) / seconds[seconds.size() / 2] / 1e9;
  }

 private:
  int64_t part_;
  char* buffer_;
};

double giga_per_second(const nextoken::Peak& peak) {
  constexpr int64_t TURNS_A_TRY = 4'000'000;
  double best = 0;
  for (int i = 0; i < 4; ++i)
    best = std::max(
        best, (double)(peak.macs * TURNS_A_TRY * n_threads) / together([&](int) { peak.run(TURNS_A_TRY); }) / 1e9);
  return best;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  n_threads = std::atoi(argv[1]);
  const Reading reading(std::atoll(argv[2]));
  std::printf("{\"read\": %.2f", reading.gigabytes_per_second(0.3));
#if defined(__x86_64__)
  std::string int8, floats, bf16;
  const auto add = [](std::string& list, const char* isa, double rate) {
    list += (list.empty() ? "\"" : ", \"") + std::string(isa) + "\": " + std::to_string(rate);
  };
  const auto add_all = [&](const char* isa) {
    const nextoken::Peaks peaks = nextoken::peaks_of(isa);
    add(int8, isa, giga_per_second(peaks.int8));
    add(floats, isa, giga_per_second(peaks.floats));
    if (peaks.bf16.run) add(bf16, isa, giga_per_second(peaks.bf16));
  };
  if (__builtin_cpu_supports("avx2")) add_all("avx2");
  if (__builtin_cpu_supports("avx512vnni")) add_all("avx512");
  if (__builtin_cpu_supports("avx512bf16"))
    add(bf16, "avx512bf16", giga_per_second(nextoken::peaks_of("avx512bf16").bf16));
  unsigned a, b, c, d;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(1));
  if (a >> 4 & 1) add_all("avxvnni");
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
  constexpr int REQUEST_TILES = 0x1023, TILE_DATA = 18;
  if ((d >> 25 & 1) && syscall(SYS_arch_prctl, REQUEST_TILES, TILE_DATA) == 0) add_all("amx");
  std::printf(", \"int8\": {%s}, \"float\": {%s}, \"bf16\": {%s}", int8.c_str(), floats.c_str(), bf16.c_str());
#endif
  std::printf("}\n"), std::fflush(stdout);
  // The speed of reading changes with what others do: asked for again beside each sample.
  for (std::string line; std::getline(std::cin, line); std::fflush(stdout))
    std::printf("%.2f\n", reading.gigabytes_per_second(0.1));
}
