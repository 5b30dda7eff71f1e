// Compiled by nvcc for cards, and by the C++ compiler for the host launcher.
#include "kernels/cuda/ops.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/by_type.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

template <class Kernel>
void launch(Queue& queue, Grid grid, const typename Kernel::Args& args, int64_t shared_bytes = 0) {
  queue.launch<Kernel>(grid, Kernel::THREADS, shared_bytes, args);
}

template <class Read>
void embed_as(Queue& queue, const EmbedArgs& args, int64_t rows) {
  using Kernel = EmbedKernel<Read>;
  launch<Kernel>(queue, {rows, divide_up(divide_up(args.k, 32), Kernel::THREADS)}, args);
}

void latent_attention(Queue& queue, Grid grid, const TiledAttention& args) {
  const auto launch_of = [&](auto type) {
    using Kernel = LatentAttentionKernel<decltype(type)::value>;
    launch<Kernel>(queue, grid, args, Kernel::SHARED_BYTES);
  };
  if (args.cache.type == KvType::f32)
    launch_of(std::integral_constant<KvType, KvType::f32>());
  else if (args.cache.type == KvType::f16)
    launch_of(std::integral_constant<KvType, KvType::f16>());
  else
    launch_of(std::integral_constant<KvType, KvType::q8>());
}

} // namespace

void add_tiles(std::vector<AttentionTile>& tiles, const AttentionTile& first, int64_t n_tokens, int64_t group,
               bool latents) {
  const int64_t most = latents ? LATENT_ROWS : TILE_ROWS, heads = std::min(group, most), tokens = most / heads;
  for (int64_t t = 0; t < n_tokens; t += tokens)
    for (int64_t head = 0; head < group; head += heads)
      tiles.push_back({first.row + t, first.position + t, first.table, (int32_t)std::min(tokens, n_tokens - t),
                       (int32_t)head, (int32_t)std::min(heads, group - head)});
}

void embed(Queue& queue, WeightType type, const EmbedArgs& args, int64_t rows) {
  if (type == WeightType::f32) return embed_as<ReadF32>(queue, args, rows);
  if (type == WeightType::f16) return embed_as<ReadF16>(queue, args, rows);
  if (type == WeightType::bf16) return embed_as<ReadBf16>(queue, args, rows);
  // Others are refused when the model is loaded.
  with_format(
      type, [&](auto of) { embed_as<Read32<typename decltype(of)::F>>(queue, args, rows); },
      [&](auto of) { embed_as<Read256<typename decltype(of)::F>>(queue, args, rows); });
}

void norm(Queue& queue, const NormKernel::Args& args, int64_t rows) {
  launch<NormKernel>(queue, {rows * args.heads}, args, NormKernel::shared_bytes(args));
}

void convert(Queue& queue, const ConvertKernel::Args& args, int64_t rows) {
  launch<ConvertKernel>(queue, {rows, divide_up(args.forms.k, ConvertKernel::THREADS * EACH_THREAD)}, args);
}

void elementwise(Queue& queue, const ElementwiseKernel::Args& args, int64_t rows) {
  launch<ElementwiseKernel>(queue, {rows, divide_up(args.n, ElementwiseKernel::THREADS)}, args);
}

void rope(Queue& queue, const RopeKernel::Args& args, int64_t rows) {
  launch<RopeKernel>(queue, {rows, divide_up(args.heads * args.half, RopeKernel::THREADS)}, args);
}

void copy_heads(Queue& queue, const CopyHeadsKernel::Args& args, int64_t rows) {
  launch<CopyHeadsKernel>(queue, {rows, divide_up(args.heads * args.n, CopyHeadsKernel::THREADS)}, args);
}

void kv_write(Queue& queue, const KvWriteKernel::Args& args, int64_t rows, int64_t n_kv_heads) {
  if (args.cache.latent_dim)
    launch<LatentWriteKernel>(queue, {rows}, args);
  else if (args.cache.type == KvType::q8)
    launch<KvWriteQ8Kernel>(queue, {rows, n_kv_heads, 2}, args, KvWriteQ8Kernel::SHARED_BYTES);
  else
    launch<KvWriteKernel>(queue, {rows, n_kv_heads}, args);
}

void attention(Queue& queue, const TiledAttention& args, int64_t n_tiles, int64_t n_kv_heads) {
  const Grid grid{n_tiles, n_kv_heads, args.partials.n_segments};
  if (args.cache.latent_dim) return latent_attention(queue, grid, args);
  const int64_t shared_bytes = AttentionKernel<false>::shared_bytes(args);
  if (args.cache.type == KvType::q8)
    launch<AttentionKernel<true>>(queue, grid, args, shared_bytes);
  else
    launch<AttentionKernel<false>>(queue, grid, args, shared_bytes);
}

void merge(Queue& queue, const MergeKernel::Args& args, int64_t rows) {
  launch<MergeKernel>(queue, {rows, args.n_heads}, args);
}

void weigh(Queue& queue, const WeighKernel::Args& args, int64_t pairs) {
  launch<WeighKernel>(queue, {pairs, divide_up(args.n, WeighKernel::THREADS)}, args);
}

void combine(Queue& queue, const CombineKernel::Args& args, int64_t rows) {
  launch<CombineKernel>(queue, {rows, divide_up(args.n, CombineKernel::THREADS)}, args);
}

void add_gated(Queue& queue, const AddGatedKernel::Args& args, int64_t rows) {
  launch<AddGatedKernel>(queue, {rows, divide_up(args.n, AddGatedKernel::THREADS)}, args);
}

void route(Queue& queue, const RouteKernel::Args& args, int64_t rows) {
  launch<RouteKernel>(queue, {rows}, args, RouteKernel::shared_bytes(args));
}

void group(Queue& queue, const GroupKernel::Args& args) {
  launch<GroupKernel>(queue, {1}, args, GroupKernel::shared_bytes(args));
}

void float_limit(Queue& queue, const LimitArgs& args, int64_t blocks) {
  launch<FloatLimitKernel>(queue, {blocks}, args);
}

void int8_limit(Queue& queue, const LimitArgs& args, int64_t blocks) { launch<Int8LimitKernel>(queue, {blocks}, args); }

void bf16_limit(Queue& queue, const LimitArgs& args, int64_t blocks) { launch<Bf16LimitKernel>(queue, {blocks}, args); }

void thin(Queue& queue, const ThinArgs& args, int64_t rows) {
  const Grid grid{rows, args.n_chunks};
  launch<ThinLargestKernel>(queue, grid, args, ThinLargestKernel::SHARED_BYTES);
  launch<ThinSumsKernel>(queue, grid, args, ThinSumsKernel::SHARED_BYTES);
  launch<ThinListKernel>(queue, grid, args, ThinListKernel::SHARED_BYTES);
}

} // namespace nextoken::cuda
