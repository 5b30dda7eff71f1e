// What the threads of a warp hold of a product on tensor cores, as the PTX manual says. Of int8, mma.m16n8k32 and
// m16n8k16, whose sums are integers, exact in any order; thread t of the warp has, four consecutive k a word:
//   A, 16 rows      v[2h + i]  row t / 4 + 8i, k from 16h + 4 (t % 4) on
//   B, 8 columns    v[h]       column t / 4, the same k
//   C, 16 x 8       v[2i + j]  row t / 4 + 8i, column 2 (t % 4) + j
// HALVES is k / 16: two, or one. Of bf16, mma.m16n8k16, the same with two halves of k 8 and two k a word, the first in
// its lower half; sums are floats.
#pragma once
#include "kernels/cuda/arithmetic.h"

namespace nextoken::cuda {

template <int HALVES>
struct FragmentA {
  uint32_t v[2 * HALVES];
};
template <int HALVES>
struct FragmentB {
  uint32_t v[HALVES];
};
struct FragmentC {
  int v[4];
};
struct FragmentF {
  float v[4];
};

#if defined(__CUDACC__)

/// c += a b
template <int HALVES>
__device__ __forceinline__ void multiply_add(FragmentC& c, const FragmentA<HALVES>& a, const FragmentB<HALVES>& b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (HALVES == 2) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(c.v[0]), "+r"(c.v[1]), "+r"(c.v[2]), "+r"(c.v[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+r"(c.v[0]), "+r"(c.v[1]), "+r"(c.v[2]), "+r"(c.v[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(b.v[0]));
  }
#else // Turing has m8n8k16, whose fragments are words of these
  for (int h = 0; h < HALVES; ++h)
    for (int i = 0; i < 2; ++i)
      asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
          : "+r"(c.v[2 * i]), "+r"(c.v[2 * i + 1])
          : "r"(a.v[2 * h + i]), "r"(b.v[h]));
#endif
}

/// The same of bf16. Turing has no such instruction: there bf16 is refused (Card::multiplies).
__device__ __forceinline__ void multiply_add(FragmentF& c, const FragmentA<2>& a, const FragmentB<2>& b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
      : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]));
#else
  __trap();
#endif
}

#endif

/// Copies to shared memory that a thread starts and does not wait for until copies_done(); others see them behind the
/// barrier that follows. BYTES is 4 or 16.
template <int BYTES>
NEXTOKEN_HD void copy_to_shared(void* to, const void* from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned place = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(place), "l"(from), "n"(BYTES) : "memory");
#else
  memcpy(__builtin_assume_aligned(to, BYTES), __builtin_assume_aligned(from, BYTES), BYTES);
#endif
}
NEXTOKEN_HD void copies_done() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

} // namespace nextoken::cuda
