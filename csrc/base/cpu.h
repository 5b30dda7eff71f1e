// What this processor and its operating system can run.
#pragma once

namespace nextoken {

struct CpuFeatures {
  bool avx2;       // with FMA and F16C
  bool avxvnni;    // AVX-VNNI, and what avx2 says
  bool avx512;     // F, BW, VL, DQ and VNNI, and what avx2 says
  bool avx512bf16; // what avx512 says, and BF16
  bool amx;        // tiles of int8 and bf16 that the system lets us use, and what avx512bf16 says
  bool dotprod;    // of ARMv8.2
  bool i8mm;       // of ARMv8.6, and what dotprod says
};

/// Detected once: the instructions exist and the operating system saves the registers they use.
const CpuFeatures& cpu_features();

} // namespace nextoken
