// Memory of the KV cache: blocks cut from slabs that are large enough for huge pages. A block alone often is not, and
// a step that reads 50 MB in pages of 4 KiB waits for their translation.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/buffer.h"

namespace nextoken {

class Slab;

/// One block; its place is free again when the last owner lets go of it. What a former owner wrote may stand in it.
class KvBlock {
 public:
  KvBlock(std::shared_ptr<Slab> slab, int place);
  KvBlock(const KvBlock&) = delete;
  KvBlock& operator=(const KvBlock&) = delete;
  ~KvBlock();
  uint8_t* data() const { return data_; }

 private:
  const std::shared_ptr<Slab> slab_;
  const int place_;
  uint8_t* const data_;
};

class Slab {
 public:
  Slab(int64_t block_bytes, Memory* memory);

 private:
  friend class KvBlock;
  friend class Slabs;
  const int64_t block_bytes_;
  Buffer memory_;                // untouched pages take none
  std::atomic<uint64_t> free_{}; // a bit a place
};

/// Where a sequence and its forks take their blocks from, one of them at a time.
class Slabs {
 public:
  /// On a device, or in the processor's memory if `memory` is null.
  Slabs(int64_t block_bytes, Memory* memory) : block_bytes_(block_bytes), memory_(memory) {}

  /// The lowest free place of the current slab, or of a new one that takes its place.
  std::shared_ptr<KvBlock> take();
  /// Lets go of the current slab: its memory is given back with its last block.
  void leave() { current_.reset(); }

 private:
  const int64_t block_bytes_;
  Memory* const memory_;
  std::shared_ptr<Slab> current_;
};

} // namespace nextoken
