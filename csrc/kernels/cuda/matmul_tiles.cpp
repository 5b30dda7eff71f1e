// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include "kernels/cuda/matmul_tiles.h"

#include "kernels/cuda/by_type.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

template <class Steps, int WARPS, int TILES>
void launch(Queue& queue, const MatmulArgs& args) {
  using Kernel = MatmulTiles<Steps, WARPS, TILES>;
  queue.launch<Kernel>({divide_up(args.n_panels, WARPS), args.spans(Kernel::TOKENS)}, Kernel::THREADS,
                       Kernel::SHARED_BYTES, args);
}

template <class Steps>
void tiles_as(Queue& queue, MatmulArgs args, int64_t n_panels) {
  args.n_panels = n_panels;
  if (args.groups || args.n_tokens <= FEW_TILED)
    launch<Steps, 4, GROUP_TILES>(queue, args);
  else
    launch<Steps, 8, 8>(queue, args);
}

} // namespace

bool matmul_tiles(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels) {
  return with_format(
      type, [&](auto of) { tiles_as<Steps32<typename decltype(of)::F>>(queue, args, n_panels); },
      [&](auto of) { tiles_as<Steps256<typename decltype(of)::F>>(queue, args, n_panels); });
}

} // namespace nextoken::cuda
