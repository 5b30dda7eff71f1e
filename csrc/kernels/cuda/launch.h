// A kernel's launch, written down: to be run later, or to become a part of a graph.
#pragma once
#include "kernels/cuda/block.h"

namespace nextoken::cuda {

class Card;

struct Launch {
  const void* kernel; // whose launches can take each other's place in a graph
  void (*run)(Card& card, const Launch& launch, const void* args);
  Grid grid;
  int threads;
  int64_t shared_bytes;
  int64_t args_at, args_bytes; // in the memory of all arguments
};

} // namespace nextoken::cuda
