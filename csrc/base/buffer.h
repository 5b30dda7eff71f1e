// Owned memory: aligned, zeroed, and given back to the system as soon as it is freed.
#pragma once
#include <cstdint>

#include "base/memory.h"

namespace nextoken {

/// 64-byte aligned zeros; a large one in huge pages where the system has them, but for its first `small_pages` bytes.
/// Throws OutOfMemory with `what` and the number of bytes.
class Buffer {
 public:
  Buffer() = default;
  Buffer(int64_t bytes, const char* what, int64_t small_pages = 0);
  /// The same on a device, whose memory outlives the buffer; of the processor's own if `memory` is null.
  Buffer(Memory* memory, int64_t bytes, const char* what);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  Memory* memory_ = nullptr;
  void* mapping_ = nullptr; // start of what was mapped, before alignment; null if allocated
  int64_t mapped_ = 0;
};

/// Throws OutOfMemory if `bytes` more can not fit: the machine's available memory and the cgroup's limit are asked.
void require_memory(int64_t bytes, const char* what);

} // namespace nextoken
