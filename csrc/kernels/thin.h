// Rows of logits on a device, thinned out there to what a sampler chooses from: a few bytes come back a token.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace nextoken {

/// Logits whose sums stand side by side (sampling/scan.h).
constexpr int64_t LOGIT_CHUNK = 4096;
/// Logits that a thinned row lists at most.
constexpr int64_t MOST_LISTED = 1024;

struct ScoredId {
  int32_t id;
  float x;
};

/// What a sampler needs of a row.
struct Thinning {
  enum class List : int32_t {
    whole,   // the row itself, nothing of what follows
    nothing, // the largest alone
    count,   // the `count` largest, and some more
    span,    // all that are at least the largest less `span`
  };
  List list = List::whole;
  float span = 0.0f, inverse_temperature = 1.0f;
  int32_t count = 0, n_decodable = 0; // ids from n_decodable up are not looked at
};

struct ThinRow {
  int64_t n = 0;     // logits of the row
  bool fine = false; // no NaN, no +infinity
  int32_t best = -1; // the lowest id of the largest; -1 if all are -infinity
  float max = 0.0f;  // that logit
  // In ascending order of ids: all logits from `floor` up, or as many of the largest as were counted. Empty, with a
  // floor of +infinity, if they are more than MOST_LISTED.
  std::vector<ScoredId> above;
  float floor = 0.0f;
  // Of each LOGIT_CHUNK: the largest of z = (x - max) * inverse_temperature, and the sum of exp(z - that).
  std::vector<float> chunk_max, chunk_sum;
  std::function<void(int64_t begin, int64_t n, float* to)> fetch; // logits themselves
};

} // namespace nextoken
