#include "cache/cache.h"

#include <algorithm>
#include <cstring>

namespace nextoken {
namespace {

int64_t blocks_for(int64_t tokens) { return (tokens + KV_BLOCK - 1) / KV_BLOCK; }

} // namespace

Cache::Cache(KvShape shape, int64_t n_ctx, Memory* memory)
    : shape_(shape), n_ctx_(n_ctx), memory_(memory), slabs_(std::make_shared<Slabs>(shape.block_bytes(), memory)) {}

std::unique_ptr<Cache> Cache::fork() const { return std::make_unique<Cache>(*this); }

void Cache::rewind(int64_t n) {
  ids_.resize(ids_.size() - (size_t)n);
  trim();
}

void Cache::reserve(int64_t n) {
  const int64_t first = length() / KV_BLOCK, end = blocks_for(length() + n);
  const auto ours = [](const std::shared_ptr<KvBlock>& block) { return block.use_count() == 1; };
  // So that commit can not fail. Twice as many, or every token would move them all; and whole blocks of them, so that
  // only a token that needs a block allocates.
  if (ids_.capacity() < (size_t)(length() + n)) {
    ids_.reserve((size_t)(blocks_for(std::max(length() + n, 2 * length())) * KV_BLOCK));
  }
  if (end <= (int64_t)blocks_.size() && std::all_of(blocks_.begin() + first, blocks_.end(), ours)) return;
  std::vector<std::shared_ptr<KvBlock>> blocks = blocks_;
  const int64_t new_blocks = end - (int64_t)blocks.size();
  if (!memory_ && new_blocks * shape_.block_bytes() > (int64_t{64} << 20)) {
    require_memory(new_blocks * shape_.block_bytes(), "the KV cache");
  }
  for (int64_t b = first; b < end; ++b) {
    if (b == (int64_t)blocks.size()) {
      blocks.push_back(slabs_->take());
    } else if (blocks_[(size_t)b].use_count() > 2) { // ours, the copy of the table above, and a fork's
      std::shared_ptr<KvBlock> copy = slabs_->take();
      if (memory_)
        memory_->copy(copy->data(), blocks[(size_t)b]->data(), shape_.block_bytes());
      else
        std::memcpy(copy->data(), blocks[(size_t)b]->data(), (size_t)shape_.block_bytes());
      blocks[(size_t)b] = std::move(copy);
    }
  }
  blocks_ = std::move(blocks);
}

void Cache::commit(const int32_t* ids, int64_t n) { ids_.insert(ids_.end(), ids, ids + n); }

void Cache::trim() {
  blocks_.resize((size_t)blocks_for(length()));
  if (blocks_.empty()) slabs_->leave();
}

} // namespace nextoken
