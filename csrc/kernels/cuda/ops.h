// The kernels as functions: each launches one and returns at once. Pointers are the card's.
#pragma once
#include <vector>

#include "cache/cache.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_latent.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/limits.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/merge.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/thin.h"

namespace nextoken::cuda {

class Queue;

/// Of n_tokens and `group` query heads of a kv head, from the row, position and table that `first` says.
void add_tiles(std::vector<AttentionTile>& tiles, const AttentionTile& first, int64_t n_tokens, int64_t group,
               bool latents);
/// Of a layer of a cache.
CacheLayout layout_of(const KvShape& shape, int64_t layer);

bool multiplies(WeightType type);
/// Whether products of many tokens are tiles, on tensor cores: types in blocks, and bf16.
bool has_tiles(WeightType type);
void matmul(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels);
/// The same on tensor cores, for types in blocks; false, and nothing is done, for others.
bool matmul_tiles(Queue& queue, WeightType type, const MatmulArgs& args, int64_t n_panels);
/// The same of bf16, for any number of tokens.
void matmul_bf16(Queue& queue, MatmulArgs args, int64_t n_panels);
void embed(Queue& queue, WeightType type, const EmbedArgs& args, int64_t rows);
void norm(Queue& queue, const NormKernel::Args& args, int64_t rows);
void convert(Queue& queue, const ConvertKernel::Args& args, int64_t rows);
void elementwise(Queue& queue, const ElementwiseKernel::Args& args, int64_t rows);
void rope(Queue& queue, const RopeKernel::Args& args, int64_t rows);
void copy_heads(Queue& queue, const CopyHeadsKernel::Args& args, int64_t rows);
void kv_write(Queue& queue, const KvWriteKernel::Args& args, int64_t rows, int64_t n_kv_heads);
void attention(Queue& queue, const TiledAttention& args, int64_t n_tiles, int64_t n_kv_heads);
void merge(Queue& queue, const MergeKernel::Args& args, int64_t rows);
void weigh(Queue& queue, const WeighKernel::Args& args, int64_t pairs);
void combine(Queue& queue, const CombineKernel::Args& args, int64_t rows);
void add_gated(Queue& queue, const AddGatedKernel::Args& args, int64_t rows);
void route(Queue& queue, const RouteKernel::Args& args, int64_t rows);
void group(Queue& queue, const GroupKernel::Args& args);
void float_limit(Queue& queue, const LimitArgs& args, int64_t blocks);
void int8_limit(Queue& queue, const LimitArgs& args, int64_t blocks);
void bf16_limit(Queue& queue, const LimitArgs& args, int64_t blocks);
void thin(Queue& queue, const ThinArgs& args, int64_t rows);

} // namespace nextoken::cuda
