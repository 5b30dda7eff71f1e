// The kernels compiled for scalar.
#include <stdint.h>
#include <string.h>

#include "kernels/table.h"

namespace nextoken::cpu::scalar {

#include "vec_scalar.h"

constexpr const char* ISA_NAME = "scalar";
#include "table.inl"

} // namespace nextoken::cpu::scalar
