// The kernels compiled for avx2.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx2 {

constexpr const char* ISA_NAME = "avx2";
// clang-format off: in the order they need each other
#include "vec_avx2.h"
#include "transpose_avx.h"
#include "vec_avx2_sums.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::avx2
