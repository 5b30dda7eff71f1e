// A device apart from the processor: memory, and the kernel set that computes there.
#pragma once
#include <memory>
#include <string>

#include "base/memory.h"
#include "kernels/kernels.h"

namespace nextoken {

/// Two buffers of the processor's memory on their way to a device: one is filled while the other is copied.
class Staging {
 public:
  virtual ~Staging() = default;
  /// The buffer to fill now; waits until what it held before was copied.
  virtual uint8_t* next() = 0;
  /// Begins to copy `bytes` of that buffer. What was sent has arrived when something is computed there.
  virtual void send(void* to, int64_t bytes) = 0;
};

/// Lives as long as the process: buffers and caches point to it.
class Device : public Memory {
 public:
  virtual std::string name() const = 0;
  /// Whether its kernels multiply with weights of that type.
  virtual bool multiplies(WeightType type) const = 0;
  /// Buffers of so many bytes each.
  virtual std::unique_ptr<Staging> make_staging(int64_t bytes) = 0;
  /// The kernel set. Its pointers are the device's memory, but for the members of Batch, Norm and biases.
  virtual std::unique_ptr<Kernels> make_kernels() = 0;
};

/// What a Python capsule with a Device* in it is called.
constexpr const char* DEVICE_CAPSULE = "nextoken.Device";

} // namespace nextoken
