// The kernels compiled for avx2.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avx2 {

constexpr const char* ISA_NAME = "avx2";
#include "vec_avx2.h"
// The vector types come first.
#include "kernels.inl"

} // namespace nextoken::cpu::avx2
