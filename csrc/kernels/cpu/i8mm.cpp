// The kernels compiled for i8mm: neon with the dot products of unsigned and signed bytes of ARMv8.6.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::i8mm {

constexpr const char* ISA_NAME = "i8mm";
// clang-format off: in the order they need each other
#include "vec_neon.h"
#include "vec_dotprod_sums.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::i8mm
