// Arrays live in registers only where every loop over them is unrolled and what uses them is inline.
#pragma once

#if defined(__AVX2__) || defined(__aarch64__)
#define FORCE_INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#else
#define FORCE_INLINE inline
#define UNROLL
#endif
