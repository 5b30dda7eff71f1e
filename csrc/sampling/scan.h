// Passes over a row of logits.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/table.h"
#include "kernels/thin.h"

namespace nextoken::sampling {

/// Logits a kernel sees at a time: a row's float sums are short, and a second look at a chunk finds it in cache.
constexpr int64_t CHUNK = LOGIT_CHUNK;

/// Calls f(i) for each i with x[i] >= limit, ascending. `f` may raise the limit on the way.
template <class F>
void for_each_at_least(const float* x, int64_t n, const float& limit, F f) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    int any = 0;
    const float bound = limit;
    for (int j = 0; j < 16; ++j) any |= x[i + j] >= bound;
    if (!any) continue;
    for (int j = 0; j < 16; ++j)
      if (x[i + j] >= limit) f(i + j);
  }
  for (; i < n; ++i)
    if (x[i] >= limit) f(i);
}

/// Throws NumericalError, naming the first place, if x holds NaN or +inf.
void check_numbers(const float* x, int64_t n);

/// The lowest id of the largest of x, which holds no NaN. Throws NumericalError if all are -inf.
int32_t best(const KernelTable& k, const float* x, int64_t n);

/// log(sum(exp(x))), from float sums of CHUNK terms merged in double, in order. x holds no NaN or +inf, not all -inf.
double log_sum_exp(const KernelTable& k, const float* x, int64_t n);

using Scored = ScoredId;

/// `kept` becomes the `count` largest of x in no particular order, fewer if the others are -inf. On ties the lowest
/// ids. One pass, memory of 2 `count`, time linear in n whatever the order of x.
void largest(const float* x, int64_t n, int64_t count, std::vector<Scored>& kept);

/// The same, best first.
std::vector<Scored> best_first(const float* x, int64_t n, int64_t count);

/// More likely first: the order of everything in this room.
inline bool before(const Scored& a, const Scored& b) { return a.x != b.x ? a.x > b.x : a.id < b.id; }

} // namespace nextoken::sampling
