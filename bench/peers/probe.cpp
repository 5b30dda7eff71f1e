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
// What follows may not be computed before it, nor once for all rounds.
#define FENCE(x) asm volatile("" : "+x"(x))

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

constexpr int64_t ROUNDS = 4000000;
constexpr int CHAINS = 10;

#if defined(__x86_64__)
KERNEL("avx2") void maddubs(int) {
  __m256i sums[CHAINS] = {}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (int64_t i = 0; i < ROUNDS; ++i)
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; ++c) {
      FENCE(a);
      sums[c] = _mm256_add_epi16(sums[c], _mm256_maddubs_epi16(a, b));
      FENCE(sums[c]);
    }
#pragma GCC unroll 10
  for (int c = 0; c < CHAINS; ++c) sink += (uint64_t)_mm256_extract_epi64(sums[c], 0);
}

KERNEL("avx512vnni,avx512f") void dpbusd(int) {
  __m512i sums[CHAINS] = {}, a = _mm512_set1_epi32(0x03030303), b = _mm512_set1_epi32(0x05050505);
  for (int64_t i = 0; i < ROUNDS; ++i)
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; ++c) {
      sums[c] = _mm512_dpbusd_epi32(sums[c], a, b);
      FENCE(sums[c]);
    }
#pragma GCC unroll 10
  for (int c = 0; c < CHAINS; ++c) sink += (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(sums[c]));
}

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define HAS_NEW_ISAS
KERNEL("avxvnni,avx2") void dpbusd_avx(int) {
  __m256i sums[CHAINS] = {}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (int64_t i = 0; i < ROUNDS; ++i)
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; ++c) {
      sums[c] = _mm256_dpbusd_avx_epi32(sums[c], a, b);
      FENCE(sums[c]);
    }
#pragma GCC unroll 10
  for (int c = 0; c < CHAINS; ++c) sink += (uint64_t)_mm256_extract_epi64(sums[c], 0);
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t colsb[16] = {64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16};
};

KERNEL("amx-tile,amx-int8") void tiles(int) {
  const TileConfig config;
  asm volatile("" : : "r"(&config) : "memory"); // gcc 12 takes most of the configuration for unread
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t i = 0; i < ROUNDS / 16; ++i) {
    _tile_dpbusd(0, 4, 5);
    _tile_dpbusd(1, 4, 5);
    _tile_dpbusd(2, 4, 5);
    _tile_dpbusd(3, 4, 5);
  }
  _tile_release();
}
#endif

KERNEL("fma,avx2") void fma8(int) {
  __m256 sums[CHAINS] = {}, a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (int64_t i = 0; i < ROUNDS; ++i)
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; ++c) {
      sums[c] = _mm256_fmadd_ps(a, b, sums[c]);
      FENCE(sums[c]);
    }
#pragma GCC unroll 10
  for (int c = 0; c < CHAINS; ++c) sink += (uint64_t)_mm256_cvtss_f32(sums[c]);
}

KERNEL("avx512f") void fma16(int) {
  __m512 sums[CHAINS] = {}, a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (int64_t i = 0; i < ROUNDS; ++i)
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; ++c) {
      sums[c] = _mm512_fmadd_ps(a, b, sums[c]);
      FENCE(sums[c]);
    }
#pragma GCC unroll 10
  for (int c = 0; c < CHAINS; ++c) sink += (uint64_t)_mm512_cvtss_f32(sums[c]);
}

KERNEL("avx512bf16,avx512f") void dpbf16(int) {
  __m512 sums[CHAINS] = {};
  const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f003f00), b = a;
  for (int64_t i = 0; i < ROUNDS; ++i)
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; ++c) {
      sums[c] = _mm512_dpbf16_ps(sums[c], a, b);
      FENCE(sums[c]);
    }
#pragma GCC unroll 10
  for (int c = 0; c < CHAINS; ++c) sink += (uint64_t)_mm512_cvtss_f32(sums[c]);
}
#endif

double giga_per_second(void (*kernel)(int), double operations) {
  double best = 0;
  for (int i = 0; i < 4; ++i) best = std::max(best, operations * n_threads / together(kernel) / 1e9);
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
  const double sums = (double)ROUNDS * CHAINS;
  if (__builtin_cpu_supports("avx2")) {
    add(int8, "avx2", giga_per_second(maddubs, sums * 32));
    add(floats, "avx2", giga_per_second(fma8, sums * 8));
  }
  if (__builtin_cpu_supports("avx512vnni")) add(int8, "avx512", giga_per_second(dpbusd, sums * 64));
  if (__builtin_cpu_supports("avx512f")) add(floats, "avx512", giga_per_second(fma16, sums * 16));
  if (__builtin_cpu_supports("avx512bf16")) add(bf16, "avx512bf16", giga_per_second(dpbf16, sums * 32));
#ifdef HAS_NEW_ISAS
  unsigned a, b, c, d;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(1));
  if (a >> 4 & 1) add(int8, "avxvnni", giga_per_second(dpbusd_avx, sums * 32));
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
  constexpr int REQUEST_TILES = 0x1023, TILE_DATA = 18;
  if ((d >> 25 & 1) && syscall(SYS_arch_prctl, REQUEST_TILES, TILE_DATA) == 0)
    add(int8, "amx", giga_per_second(tiles, (double)(ROUNDS / 16) * 4 * 16 * 16 * 64));
#endif
  std::printf(", \"int8\": {%s}, \"float\": {%s}, \"bf16\": {%s}", int8.c_str(), floats.c_str(), bf16.c_str());
#endif
  std::printf("}\n"), std::fflush(stdout);
  // The speed of reading changes with what others do: asked for again beside each sample.
  for (std::string line; std::getline(std::cin, line); std::fflush(stdout))
    std::printf("%.2f\n", reading.gigabytes_per_second(0.1));
}
