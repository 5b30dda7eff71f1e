// Memory of another device than the processor: a card's. What stands there is reached by copies alone.
#pragma once
#include <cstdint>

namespace nextoken {

/// Copies happen in the order of the calls, after what the device was told to compute before them. Once the device has
/// failed, the calls do nothing and the next `check` of who computes there tells.
class Memory {
 public:
  virtual ~Memory() = default;

  /// Zeros, aligned to 256 bytes; null if there is not so much.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void release(void* p) = 0;
  /// From one place of the device to another; they do not overlap.
  virtual void copy(void* to, const void* from, int64_t bytes) = 0;
  /// `from` is the processor's, and may be changed afterwards.
  virtual void upload(void* to, const void* from, int64_t bytes) = 0;
  /// `to` is the processor's, and is filled when this returns.
  virtual void download(void* to, const void* from, int64_t bytes) = 0;
  virtual int64_t total_bytes() const = 0;
  virtual int64_t free_bytes() const = 0;
};

} // namespace nextoken
