// The kernels compiled for dotprod: neon with the dot products of ARMv8.2.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::dotprod {

constexpr const char* ISA_NAME = "dotprod";
#include "vec_neon.h"
// The vector types come first.
#include "kernels.inl"
#include "vec_dotprod_sums.h"

} // namespace nextoken::cpu::dotprod
