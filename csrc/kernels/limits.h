// What this machine can do at best: the limits a profile is held against.
#pragma once
#include "base/poll.h"
#include "base/thread_pool.h"
#include "kernels/table.h"

namespace nextoken {

struct MachineLimits {
  double read_bytes_per_s; // from memory, past every cache
  double int8_macs_per_s;  // multiply-adds of the instruction the int8 kernels of this set use, from registers
  double float_macs_per_s;
  double bf16_macs_per_s; // where the set multiplies them as floats, the same
};

/// Best of a few tries on all threads of the pool, `poll` asked between them; takes half a second and 256 MiB.
/// Throws OutOfMemory, and what `poll` throws.
MachineLimits measure_limits(ThreadPool& pool, const KernelTable& kernels, Poll& poll);

} // namespace nextoken
