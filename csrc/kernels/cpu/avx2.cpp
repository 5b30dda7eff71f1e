// The kernels compiled for avx2.
#include <stdint.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"

namespace nextoken::cpu::avx2 {

#include "vec_avx2.h"

extern const KernelTable table;
const KernelTable table = {"avx2"};

} // namespace nextoken::cpu::avx2
