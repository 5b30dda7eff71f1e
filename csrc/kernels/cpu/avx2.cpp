// The kernels compiled for avx2.
#include <stdint.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx2 {

#include "vec_avx2.h"

#include "matmul.inl"
#include "quantize.inl"

constexpr const char* ISA_NAME = "avx2";
#include "table.inl"

} // namespace nextoken::cpu::avx2
