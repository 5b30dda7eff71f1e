// The kernels compiled for neon, which every aarch64 processor has.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::neon {

constexpr const char* ISA_NAME = "neon";
#include "vec_neon.h"
// The vector types come first.
#include "kernels.inl"
#include "vec_neon_sums.h"

} // namespace nextoken::cpu::neon
