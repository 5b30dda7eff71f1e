// One native call: several sequences advance together, all or none of them.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "model/model.h"
#include "model/profile.h"

namespace nextoken {

enum class Logits { none, last, all };

/// `n` new tokens behind what `cache` holds. logits: [V] for last, [n, V] for all, else unused.
struct SequenceStep {
  Cache* cache;
  const int32_t* ids;
  int64_t n;
  float* logits = nullptr;
};

/// Throws ContextLengthError unless n tokens fit behind `length`.
void require_room(int64_t length, int64_t n, int64_t n_ctx);

using Progress = std::function<void(int64_t done, int64_t total)>;
/// Receives the last row of each sequence [V]; called on any thread, at most once a sequence.
class LastRows {
 public:
  virtual ~LastRows() = default;
  virtual void take(size_t sequence, const float* logits) = 0;
  /// How much of a row that is on a device is wanted, and that.
  virtual Thinning thinning(size_t sequence) = 0;
  virtual void take(size_t sequence, const ThinRow& row) = 0;
};

/// Appends the tokens of every step to its cache. The caller has the model's turn. With Logits::last the last row goes
/// to `last` where there is one, else to `logits`. On any exception every cache is as before.
/// A `profile` is told where the time went.
/// Throws ContextLengthError, std::invalid_argument for bad ids, NumericalError, OutOfMemory, and what poll throws.
void run_pass(Model& model, const std::vector<SequenceStep>& steps, Logits logits, Poll* poll, const Progress& progress,
              LastRows* last, Profile* profile = nullptr);

} // namespace nextoken
