// The kernels compiled for avx512.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx512 {

constexpr const char* ISA_NAME = "avx512";
// clang-format off: in the order they need each other
#include "vec_avx512.h"
#include "transpose_avx.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::avx512
