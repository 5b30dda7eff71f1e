// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include "kernels/cuda/ops.h"

#include "kernels/cuda/card.h"

namespace nextoken::cuda {
namespace {

template <class Kernel>
void launch(Card& card, Grid grid, const typename Kernel::Args& args, int64_t shared_bytes = 0) {
  card.launch<Kernel>(grid, Kernel::THREADS, shared_bytes, args);
}

template <class Read>
void embed_as(Card& card, const EmbedArgs& args, int64_t rows) {
  using Kernel = EmbedKernel<Read>;
  launch<Kernel>(card, {rows, divide_up(divide_up(args.k, 32), Kernel::THREADS)}, args);
}

} // namespace

void embed(Card& card, WeightType type, const EmbedArgs& args, int64_t rows) {
  switch (type) {
    case WeightType::f32:
      return embed_as<ReadF32>(card, args, rows);
    case WeightType::f16:
      return embed_as<ReadF16>(card, args, rows);
    case WeightType::bf16:
      return embed_as<ReadBf16>(card, args, rows);
    case WeightType::q4_0:
      return embed_as<Read32<Q4<false>>>(card, args, rows);
    case WeightType::q4_1:
      return embed_as<Read32<Q4<true>>>(card, args, rows);
    case WeightType::q5_0:
      return embed_as<Read32<Q5<false>>>(card, args, rows);
    case WeightType::q5_1:
      return embed_as<Read32<Q5<true>>>(card, args, rows);
    case WeightType::q8_0:
      return embed_as<Read32<Q8_0>>(card, args, rows);
    case WeightType::q4_k:
      return embed_as<Read256<Q4_K>>(card, args, rows);
    case WeightType::q5_k:
      return embed_as<Read256<Q5_K>>(card, args, rows);
    case WeightType::q6_k:
      return embed_as<Read256<Q6_K>>(card, args, rows);
    default:
      return; // refused when the model was loaded
  }
}

void norm(Card& card, const NormKernel::Args& args, int64_t rows) {
  launch<NormKernel>(card, {rows * args.heads}, args, NormKernel::shared_bytes(args));
}

void convert(Card& card, const ConvertKernel::Args& args, int64_t rows) {
  launch<ConvertKernel>(card, {rows, divide_up(args.forms.k, ConvertKernel::THREADS * EACH_THREAD)}, args);
}

void elementwise(Card& card, const ElementwiseKernel::Args& args, int64_t rows) {
  launch<ElementwiseKernel>(card, {rows, divide_up(args.n, ElementwiseKernel::THREADS)}, args);
}

void rope(Card& card, const RopeKernel::Args& args, int64_t rows) {
  launch<RopeKernel>(card, {rows, divide_up(args.heads * args.half, RopeKernel::THREADS)}, args);
}

void kv_write(Card& card, const KvWriteKernel::Args& args, int64_t rows, int64_t n_kv_heads) {
  if (args.cache.type == KvType::q8)
    launch<KvWriteQ8Kernel>(card, {rows, n_kv_heads, 2}, args, KvWriteQ8Kernel::SHARED_BYTES);
  else
    launch<KvWriteKernel>(card, {rows, n_kv_heads}, args);
}

void attention(Card& card, const TiledAttention& args, int64_t n_tiles, int64_t n_kv_heads) {
  const Grid grid{n_tiles, n_kv_heads, args.partials.n_segments};
  const int64_t shared_bytes = AttentionKernel<false>::shared_bytes(args);
  if (args.cache.type == KvType::q8)
    launch<AttentionKernel<true>>(card, grid, args, shared_bytes);
  else
    launch<AttentionKernel<false>>(card, grid, args, shared_bytes);
}

void merge(Card& card, const MergeKernel::Args& args, int64_t rows) {
  launch<MergeKernel>(card, {rows, args.n_heads}, args);
}

void combine(Card& card, const CombineKernel::Args& args, int64_t rows) {
  launch<CombineKernel>(card, {rows, divide_up(args.n, CombineKernel::THREADS)}, args);
}

void add_gated(Card& card, const AddGatedKernel::Args& args, int64_t rows) {
  launch<AddGatedKernel>(card, {rows, divide_up(args.n, AddGatedKernel::THREADS)}, args);
}

void softmax(Card& card, const SoftmaxKernel::Args& args, int64_t rows) {
  launch<SoftmaxKernel>(card, {rows}, args, SoftmaxKernel::shared_bytes(args));
}

void argmax(Card& card, const ArgmaxKernel::Args& args, int64_t rows) {
  launch<ArgmaxKernel>(card, {rows}, args, ArgmaxKernel::shared_bytes(args));
}

void thin(Card& card, const ThinArgs& args, int64_t rows) {
  const Grid grid{rows, args.n_chunks};
  launch<ThinLargestKernel>(card, grid, args, ThinLargestKernel::SHARED_BYTES);
  launch<ThinSumsKernel>(card, grid, args, ThinSumsKernel::SHARED_BYTES);
  launch<ThinListKernel>(card, grid, args, ThinListKernel::SHARED_BYTES);
}

} // namespace nextoken::cuda
