#include "kernels/limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/buffer.h"

namespace nextoken {
namespace {

constexpr int64_t READ_BYTES = int64_t{256} << 20;
constexpr int TRIES = 5;

// Twelve independent chains hide the latency of the instruction, whose operands are zeros.
#if defined(__x86_64__)

/// 768 multiply-adds a turn.
void int8_avx512(int64_t turns) {
  asm volatile(
      "vpxord %%zmm0, %%zmm0, %%zmm0\n"
      "vpxord %%zmm1, %%zmm1, %%zmm1\n"
      "vpxord %%zmm2, %%zmm2, %%zmm2\n"
      "vpxord %%zmm3, %%zmm3, %%zmm3\n"
      "vpxord %%zmm4, %%zmm4, %%zmm4\n"
      "vpxord %%zmm5, %%zmm5, %%zmm5\n"
      "vpxord %%zmm6, %%zmm6, %%zmm6\n"
      "vpxord %%zmm7, %%zmm7, %%zmm7\n"
      "vpxord %%zmm8, %%zmm8, %%zmm8\n"
      "vpxord %%zmm9, %%zmm9, %%zmm9\n"
      "vpxord %%zmm10, %%zmm10, %%zmm10\n"
      "vpxord %%zmm11, %%zmm11, %%zmm11\n"
      "vpxord %%zmm12, %%zmm12, %%zmm12\n"
      "vpxord %%zmm13, %%zmm13, %%zmm13\n"
      "vpxord %%zmm14, %%zmm14, %%zmm14\n"
      "vpxord %%zmm15, %%zmm15, %%zmm15\n"
      "1:\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm4\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm5\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm6\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm7\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm8\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm9\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm10\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm11\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm12\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm13\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm14\n"
      "vpdpbusd %%zmm0, %%zmm1, %%zmm15\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(turns)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15");
}

/// 192 multiply-adds a turn.
void float_avx512(int64_t turns) {
  asm volatile(
      "vpxord %%zmm0, %%zmm0, %%zmm0\n"
      "vpxord %%zmm1, %%zmm1, %%zmm1\n"
      "vpxord %%zmm2, %%zmm2, %%zmm2\n"
      "vpxord %%zmm3, %%zmm3, %%zmm3\n"
      "vpxord %%zmm4, %%zmm4, %%zmm4\n"
      "vpxord %%zmm5, %%zmm5, %%zmm5\n"
      "vpxord %%zmm6, %%zmm6, %%zmm6\n"
      "vpxord %%zmm7, %%zmm7, %%zmm7\n"
      "vpxord %%zmm8, %%zmm8, %%zmm8\n"
      "vpxord %%zmm9, %%zmm9, %%zmm9\n"
      "vpxord %%zmm10, %%zmm10, %%zmm10\n"
      "vpxord %%zmm11, %%zmm11, %%zmm11\n"
      "vpxord %%zmm12, %%zmm12, %%zmm12\n"
      "vpxord %%zmm13, %%zmm13, %%zmm13\n"
      "vpxord %%zmm14, %%zmm14, %%zmm14\n"
      "vpxord %%zmm15, %%zmm15, %%zmm15\n"
      "1:\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm4\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm5\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm6\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm7\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm8\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm9\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm10\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm11\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm12\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm13\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm14\n"
      "vfmadd231ps %%zmm0, %%zmm1, %%zmm15\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(turns)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15");
}

/// 384 multiply-adds a turn.
void int8_avx2(int64_t turns) {
  asm volatile(
      "vpxor %%ymm0, %%ymm0, %%ymm0\n"
      "vpxor %%ymm1, %%ymm1, %%ymm1\n"
      "vpxor %%ymm2, %%ymm2, %%ymm2\n"
      "vpxor %%ymm3, %%ymm3, %%ymm3\n"
      "vpxor %%ymm4, %%ymm4, %%ymm4\n"
      "vpxor %%ymm5, %%ymm5, %%ymm5\n"
      "vpxor %%ymm6, %%ymm6, %%ymm6\n"
      "vpxor %%ymm7, %%ymm7, %%ymm7\n"
      "vpxor %%ymm8, %%ymm8, %%ymm8\n"
      "vpxor %%ymm9, %%ymm9, %%ymm9\n"
      "vpxor %%ymm10, %%ymm10, %%ymm10\n"
      "vpxor %%ymm11, %%ymm11, %%ymm11\n"
      "vpxor %%ymm12, %%ymm12, %%ymm12\n"
      "vpxor %%ymm13, %%ymm13, %%ymm13\n"
      "vpxor %%ymm14, %%ymm14, %%ymm14\n"
      "vpxor %%ymm15, %%ymm15, %%ymm15\n"
      "1:\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm2\n"
      "vpaddw %%ymm2, %%ymm8, %%ymm8\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm3\n"
      "vpaddw %%ymm3, %%ymm9, %%ymm9\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm4\n"
      "vpaddw %%ymm4, %%ymm10, %%ymm10\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm5\n"
      "vpaddw %%ymm5, %%ymm11, %%ymm11\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm6\n"
      "vpaddw %%ymm6, %%ymm12, %%ymm12\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm7\n"
      "vpaddw %%ymm7, %%ymm13, %%ymm13\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm2\n"
      "vpaddw %%ymm2, %%ymm14, %%ymm14\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm3\n"
      "vpaddw %%ymm3, %%ymm15, %%ymm15\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm4\n"
      "vpaddw %%ymm4, %%ymm8, %%ymm8\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm5\n"
      "vpaddw %%ymm5, %%ymm9, %%ymm9\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm6\n"
      "vpaddw %%ymm6, %%ymm10, %%ymm10\n"
      "vpmaddubsw %%ymm0, %%ymm1, %%ymm7\n"
      "vpaddw %%ymm7, %%ymm11, %%ymm11\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(turns)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15");
}

/// 96 multiply-adds a turn.
void float_avx2(int64_t turns) {
  asm volatile(
      "vpxor %%ymm0, %%ymm0, %%ymm0\n"
      "vpxor %%ymm1, %%ymm1, %%ymm1\n"
      "vpxor %%ymm2, %%ymm2, %%ymm2\n"
      "vpxor %%ymm3, %%ymm3, %%ymm3\n"
      "vpxor %%ymm4, %%ymm4, %%ymm4\n"
      "vpxor %%ymm5, %%ymm5, %%ymm5\n"
      "vpxor %%ymm6, %%ymm6, %%ymm6\n"
      "vpxor %%ymm7, %%ymm7, %%ymm7\n"
      "vpxor %%ymm8, %%ymm8, %%ymm8\n"
      "vpxor %%ymm9, %%ymm9, %%ymm9\n"
      "vpxor %%ymm10, %%ymm10, %%ymm10\n"
      "vpxor %%ymm11, %%ymm11, %%ymm11\n"
      "vpxor %%ymm12, %%ymm12, %%ymm12\n"
      "vpxor %%ymm13, %%ymm13, %%ymm13\n"
      "vpxor %%ymm14, %%ymm14, %%ymm14\n"
      "vpxor %%ymm15, %%ymm15, %%ymm15\n"
      "1:\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm4\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm5\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm6\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm7\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm8\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm9\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm10\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm11\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm12\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm13\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm14\n"
      "vfmadd231ps %%ymm0, %%ymm1, %%ymm15\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(turns)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
        "xmm13", "xmm14", "xmm15");
}
#endif

/// 128 multiply-adds a turn, in whatever the compiler makes of them.
template <class T, class Sum>
void portable(int64_t turns) {
  T a[16] = {}, b[16] = {};
  Sum sums[8][16] = {};
  for (int64_t turn = 0; turn < turns; ++turn) {
    asm volatile("" : : "r"(a), "r"(b) : "memory"); // may have changed
    for (auto& sum : sums) {
      for (int i = 0; i < 16; ++i) sum[i] += (Sum)a[i] * (Sum)b[i];
    }
  }
  asm volatile("" : : "r"(sums) : "memory");
}

struct Peak {
  void (*run)(int64_t turns);
  int64_t macs; // a turn
};

struct Peaks {
  Peak int8, floats;
};

Peaks peaks_of(const char* isa) {
#if defined(__x86_64__)
  if (std::strncmp(isa, "avx512", 6) == 0 || std::strcmp(isa, "amx") == 0) {
    return {{int8_avx512, 12 * 64}, {float_avx512, 12 * 16}};
  }
  if (std::strncmp(isa, "avx", 3) == 0) return {{int8_avx2, 12 * 32}, {float_avx2, 12 * 8}};
#endif
  (void)isa;
  return {{portable<int8_t, int32_t>, 128}, {portable<float, float>, 128}};
}

void read(const uint64_t* words, int64_t n) {
  uint64_t sums[16] = {};
  for (int64_t i = 0; i + 16 <= n; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  asm volatile("" : : "r"(sums) : "memory");
}

/// The shortest time of a region of fn(thread).
template <class F>
double best_seconds(ThreadPool& pool, F&& fn) {
  double best = 1e30;
  for (int i = 0; i < TRIES; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(fn);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double macs_per_s(ThreadPool& pool, const Peak& peak) {
  const int64_t turns = 100'000'000 / 20 / 12; // 10 to 40 ms at the rates of today
  const double seconds = best_seconds(pool, [&](int) { peak.run(turns); });
  return (double)(peak.macs * turns * pool.size()) / seconds;
}

} // namespace

MachineLimits measure_limits(ThreadPool& pool, const KernelTable& kernels) {
  const Buffer memory(READ_BYTES, "the measurement of memory bandwidth");
  const int64_t share = READ_BYTES / 8 / pool.size() / 16 * 16; // words
  pool.run([&](int thread) { std::memset(memory.as<uint64_t>() + thread * share, 1, (size_t)share * 8); });
  const double seconds = best_seconds(pool, [&](int thread) { read(memory.as<uint64_t>() + thread * share, share); });
  const Peaks peaks = peaks_of(kernels.name);
  return {(double)(share * 8 * pool.size()) / seconds, macs_per_s(pool, peaks.int8), macs_per_s(pool, peaks.floats)};
}

} // namespace nextoken
