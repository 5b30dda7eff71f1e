// The set of kernels one instruction set provides. Each works on one thread, on the piece it is given; splitting work
// over threads is the caller's. All tables give the same bits.
#pragma once
#include <cstdint>

#include "kernels/types.h"

namespace nextoken {

struct KernelTable {
  const char* name; // "scalar", "avx2", "avxvnni", "avx512", "avx512bf16", "amx", "neon", "dotprod", "i8mm"

  void (*matmul)(const MatmulArgs& args);
  /// Row `row` of a packed matrix as floats: embedding look-up. out [k]
  void (*unpack_row)(WeightType type, const uint8_t* panels, int64_t panel_bytes, int64_t row, int64_t k, float* out);

  /// One row of k activations to int8 in blocks of 32 (k a multiple of 32); false if any is not finite.
  bool (*quantize_q32)(const float* x, int64_t k, int8_t* codes, float* scale, float* scaled_sum, int32_t* sum);
  /// The same in blocks of 256 with a sum per 16 (k a multiple of 256).
  bool (*quantize_q256)(const float* x, int64_t k, int8_t* codes, float* scale, int32_t* sum);
  /// Rounded to bf16 (nearest even), as the matmul of this table reads them: floats, or of avx512bf16 two words for
  /// each four k, k above k + 2 and k + 1 above k + 3. y has room for k floats, rounded up to a multiple of 4.
  void (*round_bf16)(const float* x, int64_t k, float* y);

  /// y = x / sqrt(mean(x^2) + eps) * weight; weight may be null (all ones); y may be x. False if the mean is no finite
  /// number: elements from about 1e19 on overflow it, and y would be zeros.
  bool (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* y);
  /// y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias; bias may be null (none); y may be x. False if the
  /// variance is no finite number.
  bool (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, int64_t n, float* y);
  /// Rotates the first n_rot elements of one head by angles whose cos and sin are given, [n_rot / 2] each.
  void (*rope)(RopePairs pairs, const float* cos, const float* sin, int64_t n_rot, float* x);
  /// y = gate(a) * b
  void (*gated_activation)(Gate gate, const float* a, const float* b, int64_t n, float* y);
  void (*activation)(Gate gate, const float* a, int64_t n, float* y); // y = gate(a)
  void (*add)(const float* a, int64_t n, float* x);                   // x += a
  void (*multiply)(float factor, int64_t n, float* x);                // x *= factor
  void (*clamp)(float limit, int64_t n, float* x);      // x = x within [-limit, limit], NaN where it is NaN
  void (*soft_cap)(float cap, int64_t n, float* x);     // x = cap * tanh(x / cap)
  void (*softmax)(const float* x, int64_t n, float* y); // y may be x
  void (*max_sum_exp)(const float* x, int64_t n, float* max,
                      float* sum);              // sum of exp(x - max); NaN if any x is NaN or +inf
  int64_t (*argmax)(const float* x, int64_t n); // the lowest index of the largest; NaN never wins; -1 if none is left

  /// One token's key and value [head_dim] into place `slot` of a block of the cache, rounded to its type.
  void (*kv_write)(KvType type, const float* k, const float* v, int64_t head_dim, int64_t slot, void* k_block,
                   void* v_block);
  /// One token's key and value of a block back as floats.
  void (*kv_read)(KvType type, const void* k_block, const void* v_block, int64_t head_dim, int64_t slot, float* k,
                  float* v);
  /// The same of a cache of latents: keys x [head_dim] whose first latent_dim elements are the values.
  void (*latent_write)(KvType type, const float* x, int64_t head_dim, int64_t latent_dim, int64_t slot, void* block);
  void (*latent_read)(KvType type, const void* block, int64_t head_dim, int64_t latent_dim, int64_t slot, float* x);

  /// Partial result of segment `segment` (keys [256 s, 256 s + 256)) for each row (t, g), row index t * group + g:
  /// the maximum score, the sum of exp(score - max), and the weighted values out[row * out_stride ..], out_stride >=
  /// head_dim rounded up to 16. A row that sees no key of the segment gets sum 0.
  /// scratch: attention_scratch(rows, head_dim) floats.
  void (*attention_segment)(const AttentionArgs& args, int64_t segment, float* max, float* sum, float* out,
                            int64_t out_stride, float* scratch);
  /// Merges n_segments partial results of one row in order (those with sum 0 are skipped), and at last the row's sink
  /// if it is not null, into y [head_dim].
  /// Strides, in floats, from one segment to the next.
  void (*attention_merge)(int64_t n_segments, const float* max, const float* sum, int64_t scalar_stride,
                          const float* out, int64_t out_stride, int64_t head_dim, const float* sink, float* y);
  /// All segments of all rows, merged: y row (t, g) at y + t * y_stride + g * head_dim (latent_dim over latents). Same
  /// bits as the two above.
  void (*attention)(const AttentionArgs& args, float* y, int64_t y_stride, float* scratch);
  /// Floats of scratch the two functions above need for rows = n_tokens * group.
  int64_t (*attention_scratch)(int64_t rows, int64_t head_dim);
};

namespace cpu {
namespace scalar {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
namespace avxvnni {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
namespace avx512bf16 {
extern const KernelTable changes; // what differs from avx512: name, matmul, round_bf16
}
namespace amx {
extern const KernelTable changes; // what differs from avx512bf16: the same
}
namespace neon {
extern const KernelTable table;
}
namespace dotprod {
extern const KernelTable table;
}
namespace i8mm {
extern const KernelTable table;
}
} // namespace cpu

/// The table of an instruction set by name, or the best this machine runs if `name` is null. NEXTOKEN_ISA overrides
/// the choice, not an explicit name. Throws UnsupportedError that says which names work here.
const KernelTable& kernel_table(const char* name = nullptr);

} // namespace nextoken
