// What the kernels are given and how their results become hashes.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

using Floats = std::vector<float>;

/// xorshift64*: Vigna 2016, arXiv:1402.6246
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  uint32_t word() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (uint32_t)((state_ * 0x2545f4914f6cdd1dull) >> 32);
  }
  /// In [-1, 1), now and then 32 times as much, or a zero, or a denormal.
  float number() {
    const float plain = (float)(int32_t)word() * 4.656612873077393e-10f;
    switch (word() % 64) {
      case 0:
        return plain * 32.0f;
      case 1:
        return 0.0f * plain;
      case 2:
        return plain * 1e-38f;
      default:
        return plain;
    }
  }
  Floats numbers(int64_t n) {
    Floats x((size_t)n);
    for (float& v : x) v = number();
    return x;
  }

 private:
  uint64_t state_;
};

/// Names to hashes of one instruction set, FNV-1a over bytes.
class Record {
 public:
  std::map<std::string, uint64_t> hashes;

  void add(const std::string& name, const void* data, size_t bytes) {
    uint64_t& h = hashes.try_emplace(name, 0xcbf29ce484222325ull).first->second;
    for (size_t i = 0; i < bytes; ++i) h = (h ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3ull;
  }
  template <class T>
  void add(const std::string& name, const std::vector<T>& v) {
    add(name, v.data(), v.size() * sizeof(T));
  }
};
