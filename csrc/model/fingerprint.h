// Tells models apart: a fast hash of the spec and of every weight. Not meant to resist an attacker.
#pragma once
#include <cstdint>
#include <string>

#include "model/spec.h"

namespace nextoken {

class Fingerprint {
 public:
  void add(const uint8_t* bytes, int64_t n);
  void add(const Spec& spec);
  uint64_t value() const { return a_ ^ (b_ << 32 | b_ >> 32); }
  std::string hex() const; // 32 digits

 private:
  uint64_t a_ = 0x9e3779b97f4a7c15ull, b_ = 0xc2b2ae3d27d4eb4full;
};

} // namespace nextoken
