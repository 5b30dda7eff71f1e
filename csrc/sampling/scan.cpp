#include "sampling/scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/errors.h"
#include "base/exact_math.h"

namespace nextoken::sampling {
namespace {

constexpr float INF = std::numeric_limits<float>::infinity();
constexpr float LARGEST = std::numeric_limits<float>::max();

} // namespace

void check_numbers(const float* x, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= !(x[i] <= LARGEST);
  if (!bad) return;
  const int64_t i = std::find_if(x, x + n, [](float v) { return !(v <= LARGEST); }) - x;
  throw NumericalError("logit " + std::to_string(i) + " of " + std::to_string(n) + " is " +
                       (x[i] > 0 ? "+infinity" : "not a number"));
}

int32_t best(const KernelTable& k, const float* x, int64_t n) {
  const int64_t i = n > 0 ? k.argmax(x, n) : -1;
  if (i < 0 || i >= n || x[i] == -INF)
    throw NumericalError("no token can be chosen: all " + std::to_string(n) + " logits are -infinity");
  return int32_t(i);
}

double log_sum_exp(const KernelTable& k, const float* x, int64_t n) {
  double max = 0, sum = 0; // sum of exp(x - max)
  for (int64_t begin = 0; begin < n; begin += CHUNK) {
    float chunk_max, chunk_sum;
    k.max_sum_exp(x + begin, std::min(CHUNK, n - begin), &chunk_max, &chunk_sum);
    if (chunk_max == -INF) continue;
    if (sum == 0) {
      max = chunk_max;
      sum = chunk_sum;
    } else if (chunk_max > max) {
      sum = sum * exact_exp(max - chunk_max) + chunk_sum;
      max = chunk_max;
    } else {
      sum += chunk_sum * exact_exp(chunk_max - max);
    }
  }
  return max + exact_log(sum);
}

void largest(const float* x, int64_t n, int64_t count, std::vector<Scored>& kept) {
  kept.clear();
  count = std::min(count, n);
  if (count <= 0) return;
  const auto shrink = [&] {
    std::nth_element(kept.begin(), kept.begin() + (count - 1), kept.end(), before);
    kept.resize(size_t(count));
  };
  const size_t full = size_t(std::min(2 * count + 64, n));
  kept.reserve(full);
  float limit = std::numeric_limits<float>::lowest();
  bool filled = false; // then `limit` belongs to a kept one, and wins ties: its id is lower
  for_each_at_least(x, n, limit, [&](int64_t i) {
    if (filled && x[i] == limit) return;
    if (kept.size() == full) {
      shrink();
      limit = kept[size_t(count - 1)].x;
      filled = true;
      if (x[i] <= limit) return;
    }
    kept.push_back({int32_t(i), x[i]});
  });
  if (int64_t(kept.size()) > count) shrink();
}

std::vector<Scored> best_first(const float* x, int64_t n, int64_t count) {
  std::vector<Scored> kept;
  largest(x, n, count, kept);
  std::sort(kept.begin(), kept.end(), before);
  return kept;
}

} // namespace nextoken::sampling
