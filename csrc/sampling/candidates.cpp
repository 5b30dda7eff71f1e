#include "sampling/candidates.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/exact_math.h"
#include "sampling/scan.h"

namespace nextoken::sampling {
namespace {

constexpr float INF = std::numeric_limits<float>::infinity();
constexpr float FIRST_DEPTH = 8; // of top_p, in units of the temperature
constexpr float LOWEST = std::numeric_limits<float>::lowest();

uint64_t bits_of(double x) {
  uint64_t u;
  std::memcpy(&u, &x, 8);
  return u;
}

/// Larger floats get smaller keys; -0 and +0 the same.
uint64_t descending_key(float x) {
  x += 0.0f;
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u >> 31 ? u : ~u & 0x7fffffffu;
}

} // namespace

void Candidates::reset(const float* x, int64_t n, float max, double temperature) {
  x_ = x;
  thin_ = nullptr;
  n_ = n;
  max_ = max;
  inverse_temperature_ = inverse(temperature);
  listed_ = false;
  items_.clear();
}

void Candidates::reset(const ThinRow& row, int64_t n, double temperature) {
  reset(nullptr, n, row.max, temperature);
  thin_ = &row;
}

// The floor keeps -inf * (1 / temperature) from being 0 * inf.
float Candidates::inverse(double temperature) {
  return std::max(float(1.0 / temperature), std::numeric_limits<float>::min());
}
float Candidates::span_of_top_p(float inverse_temperature) { return FIRST_DEPTH / inverse_temperature; }
/// A little more than min_p() below looks at.
float Candidates::span_of_min_p(double p, float inverse_temperature) {
  return float((0.01 - exact_log(p) * 1.01) / double(inverse_temperature));
}

void Candidates::fetch_row() {
  if (!thin_) return;
  fetched_.resize(size_t(n_));
  thin_->fetch(0, n_, fetched_.data());
  x_ = fetched_.data();
  thin_ = nullptr;
}

Candidates::Item Candidates::item(const Scored& c) const { return {c.id, c.x, exact_exp(double(z(c.x)))}; }

void Candidates::list_at_least(float limit) {
  items_.clear();
  limit = std::max(limit, LOWEST);
  listed_ = true;
  if (thin_ && limit >= thin_->floor) {
    for (const Scored& c : thin_->above)
      if (c.x >= limit) items_.push_back(item(c));
    return;
  }
  fetch_row();
  for_each_at_least(x_, n_, limit, [&](int64_t i) { items_.push_back(item(i)); });
}

double Candidates::total() const {
  double sum = 0;
  for (const Item& c : items_) sum += c.weight;
  return sum;
}

/// The sum of all weights of the row, from float sums of CHUNK weights.
double Candidates::row_total() {
  chunk_totals_.clear();
  double sum = 0;
  for (int64_t begin = 0; begin < n_; begin += CHUNK) {
    float chunk_max, chunk_sum;
    if (thin_) {
      chunk_max = thin_->chunk_max[size_t(begin / CHUNK)];
      chunk_sum = thin_->chunk_sum[size_t(begin / CHUNK)];
    } else {
      float scaled[CHUNK];
      const int64_t n = std::min(CHUNK, n_ - begin);
      for (int64_t i = 0; i < n; ++i) scaled[i] = z(x_[begin + i]);
      k_.max_sum_exp(scaled, n, &chunk_max, &chunk_sum);
    }
    chunk_totals_.push_back(chunk_max == -INF ? 0.0 : chunk_sum * exact_exp(chunk_max));
    sum += chunk_totals_.back();
  }
  return sum;
}

void Candidates::top_k(int64_t count) {
  items_.clear();
  if (thin_ && int64_t(thin_->above.size()) >= count) {
    kept_ = thin_->above;
    std::nth_element(kept_.begin(), kept_.begin() + (count - 1), kept_.end(), before);
    const Scored last = kept_[size_t(count - 1)];
    for (const Scored& c : thin_->above)
      if (!before(last, c)) items_.push_back(item(c));
    listed_ = true;
    return;
  }
  fetch_row();
  largest(x_, n_, count, kept_);
  const Scored worst = *std::max_element(kept_.begin(), kept_.end(), before);
  for_each_at_least(x_, n_, worst.x, [&](int64_t i) {
    if (x_[i] > worst.x || i <= worst.id) items_.push_back(item(i));
  });
  listed_ = true;
}

/// Keep items by ascending key, equal keys by ascending id, until their weights reach the target; one at least.
/// A radix selection: it never sorts, and is linear in the number of items.
template <class Key>
void Candidates::keep_lowest(int key_bits, double target, Key key) {
  keyed_.clear();
  for (const Item& c : items_) keyed_.push_back({key(c), c.weight});

  uint64_t cut = 0;   // the leading digits of the last key to keep
  double reached = 0; // by keys below those digits
  for (int shift = key_bits - 8; shift >= 0; shift -= 8) {
    double weights[256] = {};
    bool present[256] = {};
    for (const Keyed& c : keyed_) {
      weights[c.key >> shift & 255] += c.weight;
      present[c.key >> shift & 255] = true;
    }
    int digit = -1; // the one that reaches the target, or the last if rounding left it out of reach
    double next = reached;
    for (int d = 0; d < 256; ++d) {
      if (!present[d]) continue;
      if (digit >= 0 && next >= target) break;
      digit = d;
      reached = next;
      next += weights[d];
    }
    cut |= uint64_t(digit) << shift;
    keyed_.erase(std::remove_if(keyed_.begin(), keyed_.end(),
                                [&](const Keyed& c) { return int(c.key >> shift & 255) != digit; }),
                 keyed_.end());
  }
  size_t equal_kept = 0; // of those whose key is the cut itself
  while (equal_kept < keyed_.size()) {
    reached += keyed_[equal_kept++].weight;
    if (reached >= target) break;
  }

  items_.erase(std::remove_if(items_.begin(), items_.end(),
                              [&](const Item& c) {
                                const uint64_t own = key(c);
                                if (own != cut) return own > cut;
                                if (equal_kept == 0) return true;
                                --equal_kept;
                                return false;
                              }),
               items_.end());
}

void Candidates::typical_p(double p) {
  if (!listed_) list_at_least(LOWEST);
  const double sum = total(), log_sum = exact_log(sum);
  double weighted = 0;
  for (const Item& c : items_)
    if (c.weight > 0) weighted += c.weight * z(c.x);
  const double entropy = log_sum - weighted / sum;
  keep_lowest(64, p * sum, [&](const Item& c) { return bits_of(std::fabs(entropy + (double(z(c.x)) - log_sum))); });
}

void Candidates::top_p(double p) {
  if (listed_) return keep_lowest(32, p * total(), [](const Item& c) { return descending_key(c.x); });
  // Few of a whole row are needed as a rule: list the likeliest, and more of them until they reach the target.
  const double target = p * row_total();
  for (float depth = FIRST_DEPTH; depth < 256; depth *= 2) {
    list_at_least(max_ - depth / inverse_temperature_);
    if (total() >= target) return keep_lowest(32, target, [](const Item& c) { return descending_key(c.x); });
  }
  list_at_least(LOWEST);
  keep_lowest(32, target, [](const Item& c) { return descending_key(c.x); });
}

void Candidates::min_p(double p) {
  const double least = exact_log(p);
  if (!listed_) { // a little too deep, so that no rounding loses one
    const double limit = max_ + least * 1.001 / inverse_temperature_ - std::fabs(max_) * 1e-6;
    list_at_least(float(std::max(limit, double(LOWEST))));
  }
  float top = -INF; // typical_p may have removed the likeliest
  for (const Item& c : items_) top = std::max(top, z(c.x));
  const auto too_rare = [&](const Item& c) { return double(z(c.x)) - double(top) < least; };
  items_.erase(std::remove_if(items_.begin(), items_.end(), too_rare), items_.end());
}

int32_t Candidates::draw(double u) {
  if (!listed_) return draw_from_row(u);
  const double target = u * total();
  double sum = 0;
  int32_t last = items_.front().id;
  for (const Item& c : items_) {
    if (c.weight == 0) continue;
    last = c.id;
    sum += c.weight;
    if (sum > target) break;
  }
  return last; // the last of all if u * total was rounded up to the total
}

/// Chooses a chunk by the chunks' totals, then a place in it by the weights themselves.
int32_t Candidates::draw_from_row(double u) {
  const double target = u * row_total();
  double below = 0; // total of the chunks before `chunk`
  int64_t chunk = 0;
  double next = 0;
  for (int64_t c = 0; c < int64_t(chunk_totals_.size()) && next <= target; ++c) {
    if (chunk_totals_[size_t(c)] == 0) continue;
    chunk = c;
    below = next;
    next += chunk_totals_[size_t(c)];
  }
  items_.clear();
  const int64_t first = chunk * CHUNK, n = std::min(CHUNK, n_ - first);
  const float* x = x_ + first;
  if (thin_) {
    fetched_.resize(size_t(n));
    thin_->fetch(first, n, fetched_.data());
    x = fetched_.data();
  }
  for (int64_t i = 0; i < n; ++i)
    if (x[i] > -INF) items_.push_back(item(Scored{int32_t(first + i), x[i]}));
  listed_ = true;
  return draw(std::min(1.0, (target - below) / chunk_totals_[size_t(chunk)]));
}

void Candidates::log_probabilities(std::vector<double>& out) const {
  out.assign(size_t(n_), -double(INF));
  double sum = 0;
  const auto each = [&](auto f) {
    if (listed_) {
      for (const Item& c : items_) f(c.id, c.x);
    } else {
      for (int64_t i = 0; i < n_; ++i)
        if (x_[i] > -INF) f(i, x_[i]);
    }
  };
  each([&](int64_t, float x) { sum += exact_exp(double(z(x))); });
  const double log_sum = exact_log(sum);
  each([&](int64_t i, float x) { out[size_t(i)] = double(z(x)) - log_sum; });
}

} // namespace nextoken::sampling
