// What this processor and its operating system can run, and how it treats denormals and rounding.
#pragma once
#include <cstdint>

namespace nextoken {

struct CpuFeatures {
  bool avx2;   // with FMA and F16C
  bool avx512; // F, BW, VL, DQ and VNNI, and what avx2 says
};

/// Detected once: the instructions exist and the operating system saves the registers they use.
const CpuFeatures& cpu_features();

/// Arithmetic as IEEE 754 has it, rounding to nearest, denormals kept, for the life of the object and on this thread:
/// another library may have left the thread otherwise.
class DefaultFloatMode {
public:
  DefaultFloatMode();
  ~DefaultFloatMode();
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

private:
  uint64_t saved_;
};

} // namespace nextoken
