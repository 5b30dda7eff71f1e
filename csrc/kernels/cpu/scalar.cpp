// The kernels compiled for scalar.
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::scalar {

constexpr const char* ISA_NAME = "scalar";
#include "vec_scalar.h"
// The vector types come first.
#include "kernels.inl"

} // namespace nextoken::cpu::scalar
