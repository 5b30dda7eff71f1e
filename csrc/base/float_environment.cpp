#include "base/float_environment.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace nextoken {

#if defined(__x86_64__)

uint64_t set_default_float_environment() {
  const uint64_t saved = _mm_getcsr();
  _mm_setcsr(0x1f80); // all exceptions masked, to nearest, FTZ and DAZ off
  return saved;
}

void restore_float_environment(uint64_t saved) { _mm_setcsr((unsigned)saved); }

#elif defined(__aarch64__)

uint64_t set_default_float_environment() {
  uint64_t saved;
  asm volatile("mrs %0, fpcr" : "=r"(saved));
  asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
  return saved;
}

void restore_float_environment(uint64_t saved) { asm volatile("msr fpcr, %0" ::"r"(saved)); }

#else

uint64_t set_default_float_environment() { return 0; }
void restore_float_environment(uint64_t) {}

#endif

} // namespace nextoken
