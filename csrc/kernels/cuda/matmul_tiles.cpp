// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include "kernels/cuda/matmul_tiles.h"

#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

constexpr int64_t FEW =
    128; // tokens: blocks are smaller, so that there are enough of them for all processors of a card

template <class Steps, int WARPS, int TILES>
void launch(Queue& queue, const MatmulArgs& args) {
  using Kernel = MatmulTiles<Steps, WARPS, TILES>;
  queue.launch<Kernel>({divide_up(args.n_panels, WARPS), divide_up(args.n_tokens, Kernel::TOKENS)}, Kernel::THREADS,
                       Kernel::SHARED_BYTES, args);
}

template <class Steps>
bool tiles_as(Queue& queue, MatmulArgs args, int64_t n_panels) {
  args.n_panels = n_panels;
  if (args.n_tokens <= FEW)
    launch<Steps, 4, 4>(queue, args);
  else
    launch<Steps, 8, 8>(queue, args);
  return true;
}

} // namespace

bool matmul_tiles(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels) {
  switch (type) {
    case WeightType::q4_0:
      return tiles_as<Steps32<Q4<false>>>(queue, args, n_panels);
    case WeightType::q4_1:
      return tiles_as<Steps32<Q4<true>>>(queue, args, n_panels);
    case WeightType::q5_0:
      return tiles_as<Steps32<Q5<false>>>(queue, args, n_panels);
    case WeightType::q5_1:
      return tiles_as<Steps32<Q5<true>>>(queue, args, n_panels);
    case WeightType::q8_0:
      return tiles_as<Steps32<Q8_0>>(queue, args, n_panels);
    case WeightType::q4_k:
      return tiles_as<Steps256<Q4_K>>(queue, args, n_panels);
    case WeightType::q5_k:
      return tiles_as<Steps256<Q5_K>>(queue, args, n_panels);
    case WeightType::q6_k:
      return tiles_as<Steps256<Q6_K>>(queue, args, n_panels);
    default:
      return false;
  }
}

} // namespace nextoken::cuda
