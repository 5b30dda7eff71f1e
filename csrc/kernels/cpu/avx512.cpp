// The kernels compiled for avx512.
#include <stdint.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx512 {

#include "vec_avx512.h"

#include "matmul.inl"
#include "quantize.inl"

constexpr const char* ISA_NAME = "avx512";
#include "table.inl"

} // namespace nextoken::cpu::avx512
