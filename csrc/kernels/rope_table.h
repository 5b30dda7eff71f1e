// cos and sin of rotary angles by position. Exact ones take a third of a microsecond each, more than the rest of a
// rotation, so each is computed once: 8 bytes a pair and position, a hundredth of what the cache takes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/exact_math.h"
#include "kernels/kernels.h"

namespace nextoken {

class RopeTable {
 public:
  /// Of a rotation that outlives the table.
  explicit RopeTable(const Rotation& rotation) : rotation_(rotation) {}

  bool is_of(const Rotation& rotation) const { return &rotation_ == &rotation; }

  /// Room for a position; true the first time, when fill() has to follow. By one thread.
  bool claim(int64_t position) {
    const size_t block = (size_t)(position / BLOCK);
    if (block >= blocks_.size()) blocks_.resize(block + 1);
    if (!blocks_[block]) blocks_[block] = std::make_unique<Block>(half());
    bool& claimed = blocks_[block]->claimed[position % BLOCK];
    if (claimed) return false;
    claimed = true;
    return true;
  }

  /// By any thread, for other positions at the same time.
  void fill(int64_t position) {
    float* const cos = row(position);
    double magnitude = rotation_.magnitude;
    if (const int64_t length = rotation_.temperature_length)
      magnitude *= 1.0 + rotation_.temperature_scale * exact_log((double)(1 + (position + 1) / length));
    for (int64_t i = 0; i < half(); ++i) {
      const double angle = (double)position * rotation_.inverse_frequencies[(size_t)i];
      cos[i] = (float)(exact_cos(angle) * magnitude);
      cos[half() + i] = (float)(exact_sin(angle) * magnitude);
    }
  }

  /// cos, then sin [n_rot / 2].
  float* row(int64_t position) const {
    return blocks_[(size_t)(position / BLOCK)]->rows.data() + position % BLOCK * 2 * half();
  }
  int64_t half() const { return (int64_t)rotation_.inverse_frequencies.size(); }

 private:
  static constexpr int64_t BLOCK = 256; // positions that get memory together

  struct Block {
    explicit Block(int64_t half) : rows((size_t)(BLOCK * 2 * half)) {}
    bool claimed[BLOCK] = {};
    std::vector<float> rows;
  };

  const Rotation& rotation_;
  std::vector<std::unique_ptr<Block>> blocks_; // null where no position has been asked for
};

} // namespace nextoken
