// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

constexpr int FEW_TOKENS = 1, MANY_TOKENS = 8; // of a block of threads

template <class Terms, int T>
void launch(Queue& queue, const MatmulArgs& args, int64_t n_panels) {
  using Kernel = Matmul<Terms, T>;
  queue.launch<Kernel>({n_panels, divide_up(args.n_tokens, T)}, Kernel::THREADS, Kernel::SHARED_BYTES, args);
}

template <class Terms>
void matmul_as(Queue& queue, const MatmulArgs& args, int64_t n_panels) {
  if (args.n_tokens <= FEW_TOKENS)
    launch<Terms, FEW_TOKENS>(queue, args, n_panels);
  else
    launch<Terms, MANY_TOKENS>(queue, args, n_panels);
}

} // namespace

bool multiplies(WeightType type) {
  switch (type) {
    case WeightType::f32:
    case WeightType::f16:
    case WeightType::bf16:
    case WeightType::q4_0:
    case WeightType::q4_1:
    case WeightType::q5_0:
    case WeightType::q5_1:
    case WeightType::q8_0:
    case WeightType::q4_k:
    case WeightType::q5_k:
    case WeightType::q6_k:
      return true;
    default:
      return false;
  }
}

void matmul(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels) {
  if (args.n_tokens > MANY_TOKENS && matmul_tiles(queue, type, args, n_panels)) return;
  switch (type) {
    case WeightType::f32:
      return matmul_as<TermsFloat<float>>(queue, args, n_panels);
    case WeightType::f16:
      return matmul_as<TermsFloat<uint16_t>>(queue, args, n_panels);
    case WeightType::bf16:
      return matmul_as<TermsBf16>(queue, args, n_panels);
    case WeightType::q4_0:
      return matmul_as<TermsQ32<Q4<false>>>(queue, args, n_panels);
    case WeightType::q4_1:
      return matmul_as<TermsQ32<Q4<true>>>(queue, args, n_panels);
    case WeightType::q5_0:
      return matmul_as<TermsQ32<Q5<false>>>(queue, args, n_panels);
    case WeightType::q5_1:
      return matmul_as<TermsQ32<Q5<true>>>(queue, args, n_panels);
    case WeightType::q8_0:
      return matmul_as<TermsQ32<Q8_0>>(queue, args, n_panels);
    case WeightType::q4_k:
      return matmul_as<TermsQ256<Q4_K>>(queue, args, n_panels);
    case WeightType::q5_k:
      return matmul_as<TermsQ256<Q5_K>>(queue, args, n_panels);
    case WeightType::q6_k:
      return matmul_as<TermsQ256<Q6_K>>(queue, args, n_panels);
    default:
      return; // refused when the model was loaded
  }
}

} // namespace nextoken::cuda
