// The kernels compiled for avx512.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx512 {

constexpr const char* ISA_NAME = "avx512";
#include "vec_avx512.h"
// The vector types come first.
#include "kernels.inl"

} // namespace nextoken::cpu::avx512
