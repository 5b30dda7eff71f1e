// The kernels compiled for neon, which every aarch64 processor has.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::neon {

constexpr const char* ISA_NAME = "neon";
// clang-format off: in the order they need each other
#include "vec_neon.h"
#include "vec_neon_sums.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::neon
