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

int64_t tokens_at_once(const MatmulArgs& args) { return args.groups ? args.group_tokens : args.n_tokens; }

template <class Terms>
void matmul_as(Queue& queue, const MatmulArgs& args, int64_t n_panels) {
  if (tokens_at_once(args) <= FEW_TOKENS)
    launch<Terms, FEW_TOKENS>(queue, args, n_panels);
  else
    launch<Terms, MANY_TOKENS>(queue, args, n_panels);
}

} // namespace

bool has_tiles(WeightType type) {
  const auto nothing = [](auto) {};
  return with_format(type, nothing, nothing);
}

bool multiplies(WeightType type) {
  return type == WeightType::f32 || type == WeightType::f16 || type == WeightType::bf16 || has_tiles(type);
}

void matmul(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels) {
  if (tokens_at_once(args) > MANY_TOKENS && matmul_tiles(queue, type, args, n_panels)) return;
  if (type == WeightType::f32) return matmul_as<TermsFloat<float>>(queue, args, n_panels);
  if (type == WeightType::f16) return matmul_as<TermsFloat<uint16_t>>(queue, args, n_panels);
  if (type == WeightType::bf16) return matmul_as<TermsBf16>(queue, args, n_panels);
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
