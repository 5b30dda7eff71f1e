// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include <type_traits>

#include "kernels/cuda/by_type.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

template <class Terms, int T>
void launch(Queue& queue, const MatmulArgs& args, int64_t n_panels) {
  using Kernel = Matmul<Terms, T>;
  queue.launch<Kernel>({n_panels, args.spans(T)}, Kernel::THREADS, Kernel::SHARED_BYTES, args);
}

template <class Terms>
void matmul_as(Queue& queue, const MatmulArgs& args, int64_t n_panels) {
  if (args.tokens_at_once() <= FEW_TOKENS)
    launch<Terms, FEW_TOKENS>(queue, args, n_panels);
  else
    launch<Terms, MANY_TOKENS>(queue, args, n_panels);
}

} // namespace

bool has_tiles(WeightType type) {
  const auto nothing = [](auto) {};
  return type == WeightType::bf16 || with_format(type, nothing, nothing);
}

bool multiplies(WeightType type) { return type == WeightType::f32 || type == WeightType::f16 || has_tiles(type); }

void matmul(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels) {
  if (type == WeightType::bf16) return matmul_bf16(queue, args, n_panels);
  if (args.tokens_at_once() > MANY_TOKENS && matmul_tiles(queue, type, args, n_panels)) return;
  if (type == WeightType::f32) return matmul_as<TermsFloat<float>>(queue, args, n_panels);
  if (type == WeightType::f16) return matmul_as<TermsFloat<uint16_t>>(queue, args, n_panels);
  // Others are refused when the model is loaded.
  with_format(
      type,
      [&](auto of) {
        using F = typename decltype(of)::F;
        matmul_as<std::conditional_t<F::PARTS == 2, TermsHalves<F>, TermsQ32<F>>>(queue, args, n_panels);
      },
      [&](auto of) { matmul_as<TermsQ256<typename decltype(of)::F>>(queue, args, n_panels); });
}

} // namespace nextoken::cuda
