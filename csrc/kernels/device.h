// A device apart from the processor: memory, and the kernel set that computes there.
#pragma once
#include <memory>
#include <string>

#include "base/memory.h"
#include "kernels/kernels.h"

namespace nextoken {

/// Lives as long as the process: buffers and caches point to it.
class Device : public Memory {
 public:
  virtual std::string name() const = 0;
  /// Whether its kernels multiply with weights of that type.
  virtual bool multiplies(WeightType type) const = 0;
  /// The kernel set. Its pointers are the device's memory, but for the members of Batch, Norm and biases.
  virtual std::unique_ptr<Kernels> make_kernels() = 0;
};

/// What a Python capsule with a Device* in it is called.
constexpr const char* DEVICE_CAPSULE = "nextoken.Device";

} // namespace nextoken
