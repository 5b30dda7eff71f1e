// Rounding to nearest and no flushing of denormals, whatever the caller of the library has set.
#pragma once
#include <cstdint>

namespace nextoken {

/// Sets the default for this thread and returns what was set before.
uint64_t set_default_float_environment();
void restore_float_environment(uint64_t saved);

/// The default for the time of a native call.
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() : saved_(set_default_float_environment()) {}
  ~DefaultFloatEnvironment() { restore_float_environment(saved_); }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  uint64_t saved_;
};

} // namespace nextoken
