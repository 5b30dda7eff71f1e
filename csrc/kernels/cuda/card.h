// The card as kernels are launched on it: a CUDA device, or in a build for tests the processor in its stead.
#pragma once
#if defined(NEXTOKEN_CUDA_HOST)
#include "kernels/cuda/host_card.h"
#else
#include "kernels/cuda/cuda_card.h"
#endif
