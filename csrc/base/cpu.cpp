#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace nextoken {
namespace {

#if defined(__x86_64__)
bool has(uint32_t word, int bit) { return (word >> bit) & 1; }

// Which register files the operating system saves at a task switch.
uint32_t saved_registers() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Linux gives a process the eight kilobytes a thread only if it asks.
[[maybe_unused]] bool may_use_tiles() {
#if defined(__linux__)
  constexpr long ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18;
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
  return false;
#endif
}

CpuFeatures detect() {
  CpuFeatures f{};
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool fma = has(c, 12), osxsave = has(c, 27), avx = has(c, 28), f16c = has(c, 29);
  if (!osxsave || !avx) return f;
  const uint32_t saved = saved_registers();
  if ((saved & 0x06) != 0x06) return f; // xmm, ymm
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  [[maybe_unused]] const uint32_t tiles = d; // bits 22, 24, 25: products of bf16, tiles, products of int8
  f.avx2 = has(b, 5) && fma && f16c;
  const bool foundation = has(b, 16) && has(b, 17) && has(b, 30) && has(b, 31); // F, DQ, BW, VL
  f.avx512 = f.avx2 && foundation && has(c, 11) && (saved & 0xe0) == 0xe0;      // VNNI; k and zmm registers
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) a = 0;
  f.avx512bf16 = f.avx512 && has(a, 5);
#if defined(NEXTOKEN_EMULATED)
  f.avxvnni = f.avx512;
  f.amx = f.avx512bf16;
#else
  f.avxvnni = f.avx2 && has(a, 4);
  f.amx = f.avx512bf16 && has(tiles, 22) && has(tiles, 24) && has(tiles, 25) && (saved & 0x60000) == 0x60000 &&
          may_use_tiles();
#endif
  return f;
}
#elif defined(__aarch64__) && defined(__linux__)
CpuFeatures detect() {
  constexpr unsigned long ASIMDDP = 1ul << 20, I8MM = 1ul << 13; // HWCAP_ASIMDDP, HWCAP2_I8MM: old headers lack them
  CpuFeatures f{};
  f.dotprod = (getauxval(AT_HWCAP) & ASIMDDP) != 0;
  f.i8mm = f.dotprod && (getauxval(AT_HWCAP2) & I8MM) != 0;
  return f;
}
#elif defined(__aarch64__) && defined(__APPLE__)
CpuFeatures detect() {
  CpuFeatures f{};
  f.dotprod = true; // every Apple processor since the A13, and so every Mac
  int i8mm = 0;
  size_t size = sizeof i8mm;
  f.i8mm = sysctlbyname("hw.optional.arm.FEAT_I8MM", &i8mm, &size, nullptr, 0) == 0 && i8mm != 0;
  return f;
}
#else
CpuFeatures detect() { return {}; }
#endif

} // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

} // namespace nextoken
