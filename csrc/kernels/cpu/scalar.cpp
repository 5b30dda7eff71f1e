// The kernels compiled for scalar.
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::scalar {

#include "vec_scalar.h"

#include "matmul.inl"
#include "quantize.inl"

constexpr const char* ISA_NAME = "scalar";
#include "table.inl"

} // namespace nextoken::cpu::scalar
