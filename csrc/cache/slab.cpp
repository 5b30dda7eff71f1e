#include "cache/slab.h"

#include <algorithm>
#include <utility>

namespace nextoken {
namespace {

constexpr int64_t SLAB_BYTES = int64_t{16} << 20;
constexpr int64_t SMALL_PAGES = int64_t{2} << 20;   // of a slab: a short text does not pay for a huge page
constexpr int64_t SMALL_BLOCK = int64_t{256} << 10; // up to here a block is allocated by itself

int64_t places(int64_t block_bytes) {
  return block_bytes <= SMALL_BLOCK ? 1 : std::clamp<int64_t>(SLAB_BYTES / block_bytes, 1, 64);
}

Buffer slab_memory(int64_t bytes, Memory* memory) {
  const char* const what = "blocks of the KV cache";
  return memory ? Buffer(memory, bytes, what) : Buffer(bytes, what, SMALL_PAGES);
}

} // namespace

Slab::Slab(int64_t block_bytes, Memory* memory)
    : block_bytes_(block_bytes),
      memory_(slab_memory(block_bytes * places(block_bytes), memory)),
      free_(~uint64_t{0} >> (64 - places(block_bytes))) {}

std::shared_ptr<KvBlock> Slabs::take() {
  if (!current_ || current_->free_.load() == 0) current_ = std::make_shared<Slab>(block_bytes_, memory_);
  // One taker at a time; places may come free meanwhile.
  const int place = __builtin_ctzll(current_->free_.load());
  auto block = std::make_shared<KvBlock>(current_, place);
  current_->free_.fetch_and(~(uint64_t{1} << place));
  return block;
}

KvBlock::KvBlock(std::shared_ptr<Slab> slab, int place)
    : slab_(std::move(slab)), place_(place), data_(slab_->memory_.data() + place * slab_->block_bytes_) {}

KvBlock::~KvBlock() { slab_->free_.fetch_or(uint64_t{1} << place_); }

} // namespace nextoken
