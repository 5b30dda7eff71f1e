// The candidates for the next token and the filters that thin them out.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/table.h"
#include "sampling/scan.h"

namespace nextoken::sampling {

/// What may still be drawn of a row of logits: all of it, or a list in ascending order of ids.
///
/// A candidate's weight is exp(z) with z = (x - max) * (1 / temperature) in float32. Filters judge by the
/// probabilities that the filters before them left, so weights are summed anew by each. No filter removes everything.
class Candidates {
 public:
  explicit Candidates(const KernelTable& kernels) : k_(kernels) {}

  /// All of x [n] that is not -inf; `max` is the largest. x must outlive the last call below.
  void reset(const float* x, int64_t n, float max, double temperature);

  /// The same of a row on a device: what it lists stands for it as far as that reaches, the rest is fetched.
  void reset(const ThinRow& row, int64_t n, double temperature);

  /// What the steps before draw() read first.
  static float inverse(double temperature);
  static float span_of_top_p(float inverse_temperature);
  static float span_of_min_p(double p, float inverse_temperature);

  void top_k(int64_t count); ///< the `count` most likely, on ties the lowest ids; before any other filter
  void typical_p(
      double p); ///< the closest to the entropy whose probabilities reach p; Meister et al. 2022, arXiv:2202.00666
  void top_p(double p); ///< the fewest most likely whose probabilities reach p; Holtzman et al. 2019, arXiv:1904.09751
  void min_p(double p); ///< those at least p times as likely as the likeliest; Nguyen et al. 2024, arXiv:2407.01082

  /// The first id, in ascending order, at which the cumulative probability exceeds u in [0, 1).
  int32_t draw(double u);

  /// Natural logarithm of each probability into out [n]; -inf for what is gone.
  void log_probabilities(std::vector<double>& out) const;

 private:
  struct Item {
    int32_t id;
    float x;
    double weight;
  };
  struct Keyed {
    uint64_t key;
    double weight;
  };

  float z(float x) const { return (x - max_) * inverse_temperature_; }
  Item item(int64_t i) const { return item(Scored{int32_t(i), x_[i]}); }
  Item item(const Scored& c) const;
  void fetch_row();
  void list_at_least(float limit);
  double total() const;
  double row_total();
  template <class Key>
  void keep_lowest(int key_bits, double target, Key key);
  int32_t draw_from_row(double u);

  const KernelTable& k_;
  const float* x_ = nullptr;
  const ThinRow* thin_ = nullptr; // instead of x
  std::vector<float> fetched_;
  int64_t n_ = 0;
  float max_ = 0, inverse_temperature_ = 1;
  bool listed_ = false;
  std::vector<Item> items_;          // when listed_
  std::vector<Scored> kept_;         // scratch of top_k
  std::vector<Keyed> keyed_;         // scratch of keep_lowest
  std::vector<double> chunk_totals_; // scratch of row_total
};

} // namespace nextoken::sampling
