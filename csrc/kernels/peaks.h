// Loops that do nothing but multiply and add: what each instruction set does at most. They are in assembler, since
// compilers spill some of so many sums.
#pragma once

#include <cstdint>
#include <cstring>

namespace nextoken {
namespace {

#if defined(__x86_64__)
// Twelve independent chains hide the latency of the instruction, whose operands are zeros.
#define TURNS(body)                                                                                             \
  asm volatile("vzeroall\n1:\n" body "dec %0\njnz 1b\nvzeroupper\n"                                             \
               : "+r"(turns)                                                                                    \
               :                                                                                                \
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
                 "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")
#define CHAIN(instruction, reg, sum) instruction " %%" reg "0, %%" reg "1, %%" reg sum "\n"
// clang-format off: it would break these lines anew each time
#define TWELVE_CHAINS(instruction, reg)                                                            \
  CHAIN(instruction, reg, "4") CHAIN(instruction, reg, "5") CHAIN(instruction, reg, "6")           \
  CHAIN(instruction, reg, "7") CHAIN(instruction, reg, "8") CHAIN(instruction, reg, "9")           \
  CHAIN(instruction, reg, "10") CHAIN(instruction, reg, "11") CHAIN(instruction, reg, "12")        \
  CHAIN(instruction, reg, "13") CHAIN(instruction, reg, "14") CHAIN(instruction, reg, "15")
// clang-format on
#define MADDUBS(product, sum) \
  "vpmaddubsw %%ymm0, %%ymm1, %%ymm" product "\nvpaddw %%ymm" product ", %%ymm" sum ", %%ymm" sum "\n"

constexpr int64_t CHAINS = 12;
void int8_avx512(int64_t turns) { TURNS(TWELVE_CHAINS("vpdpbusd", "zmm")); }
void float_avx512(int64_t turns) { TURNS(TWELVE_CHAINS("vfmadd231ps", "zmm")); }
void bf16_avx512(int64_t turns) { TURNS(TWELVE_CHAINS("vdpbf16ps", "zmm")); }
void float_avx2(int64_t turns) { TURNS(TWELVE_CHAINS("vfmadd231ps", "ymm")); }
#if defined(NEXTOKEN_EMULATED)
#define VPDPBUSD "vpdpbusd"
#else
#define VPDPBUSD "%{vex%} vpdpbusd"
#endif
void int8_avxvnni(int64_t turns) { TURNS(TWELVE_CHAINS(VPDPBUSD, "ymm")); }
void int8_avx2(int64_t turns) {
  TURNS(MADDUBS("2", "8") MADDUBS("3", "9") MADDUBS("4", "10") MADDUBS("5", "11") MADDUBS("6", "12") MADDUBS("7", "13")
            MADDUBS("2", "14") MADDUBS("3", "15") MADDUBS("4", "8") MADDUBS("5", "9") MADDUBS("6", "10")
                MADDUBS("7", "11"));
}
#if !defined(NEXTOKEN_EMULATED)
// Four chains of tiles of 16 x 16 sums.
#define TILE_CHAIN(instruction, sum) instruction " %%tmm5, %%tmm4, %%tmm" sum "\n"
#define TILE_TURNS(instruction)                                                                              \
  alignas(64) uint8_t config[64] = {1};                                                                      \
  for (int i = 0; i < 8; ++i) config[16 + 2 * i] = 64, config[48 + i] = 16;                                  \
  asm volatile("ldtilecfg %1\n1:\n" TILE_CHAIN(instruction, "0") TILE_CHAIN(instruction, "1")                \
                   TILE_CHAIN(instruction, "2") TILE_CHAIN(instruction, "3") "dec %0\njnz 1b\ntilerelease\n" \
               : "+r"(turns)                                                                                 \
               : "m"(config)                                                                                 \
               : "cc")
void int8_amx(int64_t turns) { TILE_TURNS("tdpbusd"); }
void bf16_amx(int64_t turns) { TILE_TURNS("tdpbf16ps"); }
#endif
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
  Peak bf16 = {}; // none: as floats
};

Peaks peaks_of(const char* isa) {
#if defined(__x86_64__)
  if (std::strcmp(isa, "avx512bf16") == 0) {
    return {{int8_avx512, CHAINS * 64}, {float_avx512, CHAINS * 16}, {bf16_avx512, CHAINS * 32}};
  }
#if !defined(NEXTOKEN_EMULATED)
  if (std::strcmp(isa, "amx") == 0) {
    return {{int8_amx, 4 * 16 * 16 * 64}, {float_avx512, CHAINS * 16}, {bf16_amx, 4 * 16 * 16 * 32}};
  }
#endif
  if (std::strncmp(isa, "avx512", 6) == 0 || std::strcmp(isa, "amx") == 0) {
    return {{int8_avx512, CHAINS * 64}, {float_avx512, CHAINS * 16}};
  }
  if (std::strcmp(isa, "avxvnni") == 0) return {{int8_avxvnni, CHAINS * 32}, {float_avx2, CHAINS * 8}};
  if (std::strncmp(isa, "avx", 3) == 0) return {{int8_avx2, CHAINS * 32}, {float_avx2, CHAINS * 8}};
#endif
  (void)isa;
  return {{portable<int8_t, int32_t>, 128}, {portable<float, float>, 128}};
}

} // namespace
} // namespace nextoken
