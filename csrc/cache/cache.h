// The KV cache of one sequence: a table of blocks, shared with its forks until one of them writes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "cache/slab.h"
#include "kernels/types.h"

namespace nextoken {

struct KvShape {
  int64_t n_layers, n_kv_heads, head_dim;
  KvType type;
  int64_t latent_dim = 0; // if not 0, keys are latents whose first latent_dim elements are the values

  /// Of one head in one block; layouts as in AttentionArgs, of q8 in kernels/cpu/kv.inl, of latents in kv_latent.inl.
  int64_t k_bytes() const {
    return latent_dim ? bytes(padded(), padded() + 4) : bytes(head_dim, head_dim + head_dim % 2);
  }
  int64_t v_bytes() const { return latent_dim ? 0 : bytes(padded(), padded()); }
  int64_t value_dim() const { return latent_dim ? latent_dim : head_dim; }
  int64_t block_bytes() const { return n_layers * n_kv_heads * (k_bytes() + v_bytes()); }

 private:
  int64_t padded() const { return (head_dim + 15) / 16 * 16; }
  int64_t bytes(int64_t width, int64_t q8_width) const {
    return KV_BLOCK * (type == KvType::q8 ? q8_width + 4 : type == KvType::f16 ? width * 2 : width * 4);
  }
};

/// Not thread-safe: the owner of the model's turn uses it.
class Cache {
 public:
  /// Takes no memory before tokens come: the processor's, or that of a device if `memory` is not null.
  Cache(KvShape shape, int64_t n_ctx, Memory* memory = nullptr);

  int64_t length() const { return (int64_t)ids_.size(); }
  int64_t n_ctx() const { return n_ctx_; }
  int64_t nbytes() const { return (int64_t)blocks_.size() * shape_.block_bytes(); }
  const KvShape& shape() const { return shape_; }
  const std::vector<int32_t>& ids() const { return ids_; }

  /// A copy that shares every block.
  std::unique_ptr<Cache> fork() const;
  /// Forgets the last n tokens, n <= length().
  void rewind(int64_t n);

  /// Makes room for n more tokens that this sequence alone may write. On failure nothing has changed.
  void reserve(int64_t n);
  /// The n tokens behind length() have been written.
  void commit(const int32_t* ids, int64_t n);
  /// Gives back blocks reserved but not committed.
  void trim();

  void* k_block(int64_t layer, int64_t head, int64_t block) const {
    return blocks_[(size_t)block]->data() + (layer * shape_.n_kv_heads + head) * (shape_.k_bytes() + shape_.v_bytes());
  }
  void* v_block(int64_t layer, int64_t head, int64_t block) const {
    return static_cast<uint8_t*>(k_block(layer, head, block)) + shape_.k_bytes();
  }
  int64_t n_blocks() const { return (int64_t)blocks_.size(); }
  uint8_t* block_data(int64_t block) const { return blocks_[(size_t)block]->data(); }
  Memory* memory() const { return memory_; }

 private:
  KvShape shape_;
  int64_t n_ctx_;
  Memory* memory_;
  std::vector<int32_t> ids_;
  std::vector<std::shared_ptr<KvBlock>> blocks_; // the block table
  std::shared_ptr<Slabs> slabs_;                 // shared with forks
};

} // namespace nextoken
