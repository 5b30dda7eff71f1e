// The kernels compiled for dotprod: neon with the dot products of ARMv8.2.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::dotprod {

constexpr const char* ISA_NAME = "dotprod";
// clang-format off: in the order they need each other
#include "vec_neon.h"
#include "vec_dotprod_sums.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::dotprod
