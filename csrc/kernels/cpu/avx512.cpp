// The kernels compiled for avx512.
#include <stdint.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"

namespace nextoken::cpu::avx512 {

#include "vec_avx512.h"

extern const KernelTable table;
const KernelTable table = {"avx512"};

} // namespace nextoken::cpu::avx512
