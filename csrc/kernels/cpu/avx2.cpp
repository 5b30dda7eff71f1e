// The kernels compiled for avx2.
#include <stdint.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"

namespace nextoken::cpu::avx2 {

#include "vec_avx2.h"

constexpr const char* ISA_NAME = "avx2";
#include "table.inl"

} // namespace nextoken::cpu::avx2
