// The kernels compiled for avxvnni: avx2 with the dot products of AVX-VNNI.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/layout.h"
#include "kernels/table.h"

namespace nextoken::cpu::avxvnni {

constexpr const char* ISA_NAME = "avxvnni";
// clang-format off: in the order they need each other
#include "vec_avx2.h"
#include "transpose_avx.h"
#include "vec_avxvnni_sums.h"
#include "kernels.inl"
// clang-format on

} // namespace nextoken::cpu::avxvnni
