// How attention is divided over threads: tiles of tokens in prefill, segments of keys in decode. The order in which a
// row's keys are summed does not depend on it.
#include <algorithm>

#include "kernels/cpu_kernels.h"

namespace nextoken {
namespace {

constexpr int64_t TOKENS_A_TILE = 16;
constexpr int64_t DECODE_TOKENS = 4; // up to here keys are divided rather than tokens
constexpr int64_t LATENT_HEADS = 16; // that share what a block of latents has become, at most; and as many tokens:
constexpr int64_t LATENT_TOKENS = 4;

int64_t blocks_of(const BatchPiece& piece) { return (piece.first_position + piece.n_tokens + KV_BLOCK - 1) / KV_BLOCK; }

/// Heads of queries that a task takes: those of a kv head, or a divisor of them.
int64_t heads_a_task(const AttentionSpec& spec) {
  const int64_t all = spec.n_heads / spec.n_kv_heads;
  if (!spec.latent_dim) return all;
  int64_t n = std::min(all, LATENT_HEADS);
  while (all % n != 0) --n;
  return n;
}

} // namespace

/// Fills blocks_ and tasks_; returns the number of rows of partial results.
int64_t CpuKernels::plan_attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, int64_t group) {
  int64_t n_pointers = 0;
  for (const BatchPiece& piece : batch.pieces) n_pointers += spec.n_kv_heads * blocks_of(piece) * 2;
  blocks_.resize((size_t)n_pointers);
  tasks_.clear();
  const void** next = blocks_.data();
  const int64_t tile = spec.latent_dim ? LATENT_TOKENS : TOKENS_A_TILE, all = spec.n_heads / spec.n_kv_heads;
  int64_t n_partials = 0;
  for (const BatchPiece& piece : batch.pieces) {
    const int64_t n_blocks = blocks_of(piece), end = piece.first_position + piece.n_tokens;
    const int64_t segment_begin = spec.first_key(piece.first_position) / ATTENTION_SEGMENT;
    const int64_t segment_end = (end + ATTENTION_SEGMENT - 1) / ATTENTION_SEGMENT;
    for (int64_t head = 0; head < spec.n_kv_heads; ++head) {
      for (int64_t b = segment_begin * (ATTENTION_SEGMENT / KV_BLOCK); b < n_blocks; ++b) { // those before are not seen
        next[b] = piece.cache->k_block(layer, head, b);
        next[n_blocks + b] = piece.cache->v_block(layer, head, b);
      }
      for (int64_t first = head * all; first < (head + 1) * all; first += group) {
        if (piece.n_tokens <= DECODE_TOKENS && segment_end - segment_begin > 1) {
          for (int64_t s = segment_begin; s < segment_end; ++s) {
            tasks_.push_back({&piece, next, n_blocks, first, 0, piece.n_tokens, s, n_partials});
            n_partials += piece.n_tokens * group;
          }
        } else {
          for (int64_t t = 0; t < piece.n_tokens; t += tile) {
            tasks_.push_back({&piece, next, n_blocks, first, t, std::min(tile, piece.n_tokens - t), -1, 0});
          }
        }
      }
      next += 2 * n_blocks;
    }
  }
  return n_partials;
}

void CpuKernels::attention(const Batch& batch, int64_t layer, const AttentionSpec& spec, Rows<const float> q,
                           const Linear& next, Hidden& a) {
  const int64_t value_dim = spec.value_dim(), padded_dim = (value_dim + 15) / 16 * 16, group = heads_a_task(spec);
  const Rows<float> y = a.reset(q.rows, spec.n_heads * value_dim);
  const int64_t n_partials = plan_attention(batch, layer, spec, group);
  const int64_t partial_floats = n_partials * (padded_dim + 2);
  if (partials_.size() < partial_floats * 4) partials_ = Buffer(partial_floats * 4, "attention partials");
  float* const partial_out = partials_.as<float>(); // [n_partials][padded_dim], aligned
  float* const partial_max = partial_out + n_partials * padded_dim;
  float* const partial_sum = partial_max + n_partials;
  const auto out = [&](const AttentionTask& task) {
    return y[task.piece->row_begin + task.token_begin] + task.head * value_dim;
  };

  // The first blocks of the task that this thread probably takes next.
  const auto look_ahead = [&](int64_t i, AttentionArgs& args) {
    const int64_t next = (int64_t)tasks_.size() - 1 - i - pool_.size();
    if (next < 0) return;
    const AttentionTask& task = tasks_[(size_t)next];
    const int64_t position = task.piece->first_position + task.token_begin;
    const int64_t block = std::max(task.segment * ATTENTION_SEGMENT, spec.first_key(position)) / KV_BLOCK;
    args.ahead[0] = task.k_blocks[block];
    args.ahead[1] = task.k_blocks[block + 1 < task.n_blocks ? block + 1 : block + task.n_blocks];
  };

  // For all threads now: which of them comes, and for which tile, is chance.
  int64_t most_tokens = 0;
  for (const AttentionTask& task : tasks_) most_tokens = std::max(most_tokens, task.n_tokens);
  for (int t = 0; t < pool_.size(); ++t) scratch(t, table_.attention_scratch(most_tokens * group, spec.head_dim));

  // Later tiles see more keys: the longest come first, so that threads end together.
  pool_.for_each((int64_t)tasks_.size(), batch.poll, [&](int64_t i, int thread) {
    const AttentionTask& task = tasks_[tasks_.size() - 1 - (size_t)i];
    AttentionArgs args{};
    args.kv_type = task.piece->cache->shape().type;
    args.head_dim = spec.head_dim;
    args.latent_dim = spec.latent_dim;
    args.k_blocks = task.k_blocks;
    args.v_blocks = task.k_blocks + task.n_blocks;
    look_ahead(i, args);
    args.q = q[task.piece->row_begin + task.token_begin] + task.head * spec.head_dim;
    args.q_stride = q.stride;
    args.n_tokens = task.n_tokens;
    args.group = group;
    args.first_position = task.piece->first_position + task.token_begin;
    args.window = spec.window;
    args.chunk = spec.chunk;
    args.scale = spec.scale;
    args.soft_cap = spec.soft_cap;
    args.sinks = spec.sinks ? spec.sinks + task.head : nullptr;
    args.slopes = spec.slopes ? spec.slopes + task.head : nullptr;
    args.bf16_distances = spec.bf16_distances;
    float* const room = scratch(thread, table_.attention_scratch(task.n_tokens * group, spec.head_dim));
    if (task.segment < 0) {
      table_.attention(args, out(task), y.stride, room);
    } else {
      table_.attention_segment(args, task.segment, partial_max + task.partial_begin, partial_sum + task.partial_begin,
                               partial_out + task.partial_begin * padded_dim, padded_dim, room);
    }
  });

  for (size_t i = 0; i < tasks_.size();) {
    const AttentionTask& task = tasks_[i];
    size_t end = i + 1;
    if (task.segment >= 0) {
      while (end < tasks_.size() && tasks_[end].k_blocks == task.k_blocks && tasks_[end].head == task.head) ++end;
      const int64_t rows = task.n_tokens * group;
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t first = task.partial_begin + r;
        table_.attention_merge((int64_t)(end - i), partial_max + first, partial_sum + first, rows,
                               partial_out + first * padded_dim, rows * padded_dim, value_dim,
                               spec.sinks ? spec.sinks + task.head + r % group : nullptr,
                               out(task) + r / group * y.stride + r % group * value_dim);
      }
    }
    i = end;
  }
  const unsigned forms = forms_of(next);
  each_row(batch, y.rows, [&](int64_t i) { quantize_row(a, forms, i); });
}

} // namespace nextoken
