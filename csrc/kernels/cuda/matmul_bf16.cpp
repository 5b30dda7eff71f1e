// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include "kernels/cuda/matmul_bf16.h"

#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

template <class Tiles>
void launch(Queue& queue, const MatmulArgs& args) {
  queue.launch<Tiles>({args.spans(Tiles::TOKENS), divide_up(args.n_panels, Tiles::BLOCK_PANELS)}, Tiles::THREADS,
                      Tiles::SHARED_BYTES, args);
}

} // namespace

void matmul_bf16(Queue& queue, MatmulArgs args, int64_t n_panels) {
  args.n_panels = n_panels;
  if (args.tokens_at_once() <= TILE_TOKENS)
    return queue.launch<MatmulBf16>({n_panels, args.spans(TILE_TOKENS)}, MatmulBf16::THREADS,
                                    MatmulBf16::shared_bytes(args.k), args);
  if (args.groups || args.n_tokens <= FEW_TILED) return launch<MatmulBf16Tiles<1, 4, 1, GROUP_TILES, 16>>(queue, args);
  launch<MatmulBf16Tiles<2, 4, 2, 8, 4>>(queue, args);
}

} // namespace nextoken::cuda
