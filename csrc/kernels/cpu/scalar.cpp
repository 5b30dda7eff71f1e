// The kernels compiled for scalar.
#include <stdint.h>
#include <string.h>

#include "kernels/table.h"

namespace nextoken::cpu::scalar {

#include "vec_scalar.h"

extern const KernelTable table;
const KernelTable table = {"scalar"};

} // namespace nextoken::cpu::scalar
