// The kernels compiled for scalar.
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::scalar {

constexpr const char* ISA_NAME = "scalar";
// clang-format off: in the order they need each other
#include "vec_scalar.h"
#include "vec_scalar_matmul.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::scalar
