// What each stage of the sampler did, for people to look at. Costs a pass or more per stage: not for the fast path.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace nextoken::sampling {

struct Chance {
  int32_t id;
  double probability;
};

struct Stage {
  std::string name;            // the parameter responsible, or "logits", "greedy", "draw"
  int64_t remaining, removed;  // candidates after this stage, and those it removed
  std::vector<Chance> kept;    // the likeliest after this stage, with the probabilities it left
  std::vector<Chance> dropped; // the likeliest of the removed, with their probabilities before this stage
};

class Trace {
 public:
  /// Each stage shows at most `shown` candidates kept and as many dropped.
  explicit Trace(int64_t shown) : shown_(shown) {}

  /// Records a stage from the natural logarithms of the probabilities it left; -inf is no candidate.
  void add(std::string name, std::vector<double> log_probabilities);
  /// The same from logits.
  void add_logits(std::string name, const float* x, int64_t n);
  /// The last stage: `id` alone is left.
  void add_choice(std::string name, int32_t id);

  const std::vector<Stage>& stages() const { return stages_; }

 private:
  std::vector<Chance> likeliest(const std::vector<double>& of, const std::vector<double>* now) const;

  int64_t shown_;
  std::vector<Stage> stages_;
  std::vector<double> before_;
};

} // namespace nextoken::sampling
