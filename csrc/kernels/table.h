// The set of kernels one instruction set provides; the pass calls these and knows no other.
#pragma once
#include <cstdint>

namespace nextoken {

struct KernelTable {
  const char* name; // "scalar", "avx2", "avx512"
};

namespace cpu {
namespace scalar {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
} // namespace cpu

} // namespace nextoken
