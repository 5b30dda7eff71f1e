// The types that cross the border of the kernels: plain enums and structs, no code.
#pragma once
#include <cstdint>

namespace nextoken {

/// Element types of weights; the numbers are those of GGUF files.
enum class WeightType : int32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
};

/// How a matmul wants its activations: as they are, int8 with a scale per 32 or per 256, or rounded to bf16.
enum class ActivationForm : int32_t { f32, q32, q256, bf16 };

/// q8: int8 with a float scale per key and per value of a head.
enum class KvType : int32_t { f32, f16, q8 };
/// Activations of feed-forwards, gated or not.
enum class Gate : int32_t { silu, gelu_tanh, gelu, relu, relu_squared, clamped_silu };
enum class NormKind : int32_t { rms, layer };
/// Which elements of a head rotate together: (2i, 2i+1) or (i, i + n_rot/2).
enum class RopePairs : int32_t { adjacent, halves };

static constexpr int64_t PANEL_ROWS = 16;         // output rows a weight panel interleaves
static constexpr int64_t KV_BLOCK = 64;           // tokens in a block of the cache
static constexpr int64_t ATTENTION_SEGMENT = 256; // keys summed before partial results are merged
static constexpr int64_t MOST_Q8_HEAD_DIM = 1024; // sums of a wider head would not fit 32 bits

/// Token rows in one form. Unused members are null. Strides are in elements, from one token to the next.
///   f32, bf16  x [rows][k] (for bf16 as the table's round_bf16 writes it)
///   q32        codes [rows][k], scale, scaled_sum (scale * sum of codes), sum [rows][k / 32]
///   q256       codes [rows][k], scale [rows][k / 256], sum [rows][k / 16]
struct Activations {
  int64_t rows, k;
  const float* x;
  int64_t x_stride;
  const int8_t* codes;
  int64_t codes_stride;
  const float* scale;
  int64_t scale_stride;
  const float* scaled_sum; // strides as scale
  const int32_t* sum;
  int64_t sum_stride;
};

/// out[token][row] = sum over k of weights[row][k] * activations[token][k], for panels [panel_begin, panel_end)
/// and tokens [token_begin, token_end).
struct MatmulArgs {
  WeightType type;
  const uint8_t* panels; // 64-byte aligned; panel p starts at p * panel_bytes
  int64_t panel_bytes;
  int64_t n_rows, k; // of the matrix; the last panel may have fewer than 16 valid rows
  int64_t panel_begin, panel_end;
  Activations in;
  int64_t token_begin, token_end;
  float* out; // exactly n_rows floats of a token are written
  int64_t out_stride;
};

/// Queries of consecutive tokens of one sequence against one kv head of its cache.
/// Token t stands at first_position + t and sees keys [max(0, position + 1 - window), position]; window 0 sees all.
/// With a chunk it sees those from the last multiple of it on; chunk 0 for none.
///   q      row (t, g) at q + t * q_stride + g * head_dim: n_tokens tokens, `group` query heads of the kv head
///   k_blocks[b], v_blocks[b]: keys [KV_BLOCK / 16][head_dim][16 keys] and values [KV_BLOCK][head_dim rounded up to 16]
///          of this head for positions b * KV_BLOCK and on; of q8 as in cpu/kv.inl
///   latent_dim  if not 0, k_blocks hold latents (cpu/kv_latent.inl): keys of head_dim whose first latent_dim elements
///          are the values; v_blocks is unused, and rows of the result have latent_dim elements
/// Any number of tokens gives the same bits. 16 to 64 a call are fastest: a tile takes six rows (t, g), 16 tokens run
/// within 4 % of 64, and smaller calls divide better over threads.
struct AttentionArgs {
  KvType kv_type;
  int64_t head_dim;
  const void* const* k_blocks;
  const void* const* v_blocks;
  const float* q;
  int64_t q_stride;
  int64_t n_tokens, group;
  int64_t first_position;
  int64_t window;
  float scale;          // usually 1/sqrt(head_dim), multiplied into q first
  float soft_cap;       // scores become soft_cap * tanh(score / soft_cap); 0 leaves them
  const void* ahead[2]; // the first blocks that will be read after this call, or null: they are fetched meanwhile
  const float* slopes;  // [group]: slope * (key's position - query's) is added to a score; null for none
  const float* sinks;   // [group]: exp(sink) is added to the sum of exp(score); null for none
  int64_t latent_dim = 0;
  int64_t chunk = 0;
  bool bf16_distances = false; // instead scale * bf16(slope * bf16(key's position)) is added
};

} // namespace nextoken
