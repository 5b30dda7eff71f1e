#include "sampling/trace.h"

#include <algorithm>
#include <limits>

#include "base/exact_math.h"

namespace nextoken::sampling {
namespace {

constexpr double GONE = -std::numeric_limits<double>::infinity();

} // namespace

/// The likeliest of `of`, or of what is in `of` and no longer in `now`.
std::vector<Chance> Trace::likeliest(const std::vector<double>& of, const std::vector<double>* now) const {
  std::vector<Chance> found; // a small list kept in order: `shown` is a few dozen
  for (size_t i = 0; i < of.size(); ++i) {
    if (of[i] == GONE || (now && (*now)[i] != GONE)) continue;
    if (int64_t(found.size()) == shown_ && (shown_ == 0 || of[i] <= found.back().probability)) continue;
    const auto place = std::upper_bound(found.begin(), found.end(), of[i],
                                        [](double p, const Chance& c) { return p > c.probability; });
    found.insert(place, {int32_t(i), of[i]});
    if (int64_t(found.size()) > shown_) found.pop_back();
  }
  for (Chance& c : found) c.probability = exact_exp(c.probability);
  return found;
}

void Trace::add(std::string name, std::vector<double> after) {
  Stage stage{std::move(name), 0, 0, likeliest(after, nullptr), {}};
  for (double p : after) stage.remaining += p != GONE;
  if (!stages_.empty()) {
    stage.removed = stages_.back().remaining - stage.remaining;
    stage.dropped = likeliest(before_, &after);
  }
  before_ = std::move(after);
  stages_.push_back(std::move(stage));
}

void Trace::add_logits(std::string name, const float* x, int64_t n) {
  std::vector<double> after(x, x + n);
  const double max = n > 0 ? *std::max_element(after.begin(), after.end()) : GONE;
  if (max != GONE) {
    double sum = 0;
    for (double v : after) sum += exact_exp(v - max);
    const double log_sum = max + exact_log(sum);
    for (double& v : after) v -= log_sum;
  }
  add(std::move(name), std::move(after));
}

void Trace::add_choice(std::string name, int32_t id) {
  std::vector<double> after(before_.size(), GONE);
  after[size_t(id)] = 0;
  add(std::move(name), std::move(after));
}

} // namespace nextoken::sampling
