// cos and sin of rotary angles by position. Exact ones take a third of a microsecond each, more than the rest of a
// rotation, so each is computed once: 8 bytes a pair and position, a hundredth of what the cache takes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/exact_math.h"

namespace nextoken {

class RopeTable {
 public:
  /// Of `inverse_frequencies` [n_rot / 2], which outlive the table; cos and sin are times `magnitude`.
  RopeTable(const std::vector<double>& inverse_frequencies, double magnitude)
      : frequencies_(inverse_frequencies), magnitude_(magnitude) {}

  bool is_of(const std::vector<double>& inverse_frequencies) const { return &frequencies_ == &inverse_frequencies; }

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
    for (int64_t i = 0; i < half(); ++i) {
      const double angle = (double)position * frequencies_[(size_t)i];
      cos[i] = (float)(exact_cos(angle) * magnitude_);
      cos[half() + i] = (float)(exact_sin(angle) * magnitude_);
    }
  }

  /// cos, then sin [n_rot / 2].
  float* row(int64_t position) const {
    return blocks_[(size_t)(position / BLOCK)]->rows.data() + position % BLOCK * 2 * half();
  }
  int64_t half() const { return (int64_t)frequencies_.size(); }

 private:
  static constexpr int64_t BLOCK = 256; // positions that get memory together

  struct Block {
    explicit Block(int64_t half) : rows((size_t)(BLOCK * 2 * half)) {}
    bool claimed[BLOCK] = {};
    std::vector<float> rows;
  };

  const std::vector<double>& frequencies_;
  double magnitude_;
  std::vector<std::unique_ptr<Block>> blocks_; // null where no position has been asked for
};

} // namespace nextoken
