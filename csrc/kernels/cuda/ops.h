// The kernels as functions: each launches one and returns at once. Pointers are the card's.
#pragma once
#include "kernels/cuda/attention.h"
#include "kernels/cuda/choose.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/thin.h"

namespace nextoken::cuda {

class Card;

bool multiplies(WeightType type);
void matmul(Card& card, WeightType type, const MatmulArgs& args, int64_t n_panels);
/// The same on tensor cores, for types in blocks; false, and nothing is done, for others.
bool matmul_tiles(Card& card, WeightType type, const MatmulArgs& args, int64_t n_panels);
void embed(Card& card, WeightType type, const EmbedArgs& args, int64_t rows);
void norm(Card& card, const NormKernel::Args& args, int64_t rows);
void convert(Card& card, const ConvertKernel::Args& args, int64_t rows);
void elementwise(Card& card, const ElementwiseKernel::Args& args, int64_t rows);
void rope(Card& card, const RopeKernel::Args& args, int64_t rows);
void kv_write(Card& card, const KvWriteKernel::Args& args, int64_t rows, int64_t n_kv_heads);
void attention(Card& card, const TiledAttention& args, int64_t n_tiles, int64_t n_kv_heads);
void merge(Card& card, const MergeKernel::Args& args, int64_t rows);
void combine(Card& card, const CombineKernel::Args& args, int64_t rows);
void add_gated(Card& card, const AddGatedKernel::Args& args, int64_t rows);
void softmax(Card& card, const SoftmaxKernel::Args& args, int64_t rows);
void argmax(Card& card, const ArgmaxKernel::Args& args, int64_t rows);
void thin(Card& card, const ThinArgs& args, int64_t rows);

} // namespace nextoken::cuda
