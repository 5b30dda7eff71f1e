// Rows of logits thinned out (kernels/thin.h), in three steps of a block for each 4096 logits of a row: the largest;
// sums of exponentials, as kernels/cpu/softmax.inl adds them, and how many logits are how far below the largest; and
// the list of those that are near enough, in any order.
#pragma once
#include "kernels/cuda/block.h"
#include "kernels/thin.h"

namespace nextoken::cuda {

/// Distances below the largest logit are counted in steps of 1/16, the last for all that are farther.
constexpr int THIN_STEPS = 1024, THIN_THREADS = 64;

struct ThinArgs {
  struct Chunk {
    float max; // of what can be chosen
    int32_t best, bad;
    float scaled_max, scaled_sum;
  };
  struct Row {
    int32_t n_listed, failed; // failed: the pass itself
  };
  const float* x;
  int64_t stride, n, n_chunks;
  const Thinning* how; // [rows]
  const int* failed;
  Row* rows;
  Chunk* chunks;  // [rows][n_chunks]
  int32_t* steps; // [rows][THIN_STEPS]
  ScoredId* list; // [rows][MOST_LISTED]

  NEXTOKEN_HD int64_t begin(int64_t chunk) const { return chunk * LOGIT_CHUNK; }
  NEXTOKEN_HD int64_t end(int64_t chunk, int64_t limit) const {
    return begin(chunk + 1) < limit ? begin(chunk + 1) : limit;
  }
};

/// The larger, of equals that of the lower id; best < 0 is none.
NEXTOKEN_HD bool is_better(const ThinArgs::Chunk& a, const ThinArgs::Chunk& b) {
  if (a.best < 0) return false;
  return b.best < 0 || a.max > b.max || (a.max == b.max && a.best < b.best);
}
NEXTOKEN_HD float largest_of_row(const ThinArgs& a, int64_t row) {
  ThinArgs::Chunk best = a.chunks[row * a.n_chunks];
  for (int64_t c = 1; c < a.n_chunks; ++c)
    if (is_better(a.chunks[row * a.n_chunks + c], best)) best = a.chunks[row * a.n_chunks + c];
  return best.best < 0 ? MINUS_INFINITY : best.max;
}
NEXTOKEN_HD int step_of(float x, float largest) {
  const float distance = (largest - x) * 16.0f;
  return distance < (float)(THIN_STEPS - 1) ? (int)distance : THIN_STEPS - 1;
}

/// Grid: rows x chunks.
struct ThinLargestKernel {
  using Args = ThinArgs;
  static constexpr int THREADS = 256;
  static constexpr int64_t SHARED_BYTES = THREADS * (int64_t)sizeof(ThinArgs::Chunk);

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t row = block.x(), chunk = block.y(), decodable = a.how[row].n_decodable;
    const float* const x = a.x + row * a.stride;
    ThinArgs::Chunk* const found = block.template shared<ThinArgs::Chunk>(THREADS);
    block.each([&](int t) {
      ThinArgs::Chunk best = {MINUS_INFINITY, -1, 0, 0.0f, 0.0f};
      for (int64_t i = a.begin(chunk) + t; i < a.end(chunk, a.n); i += THREADS) {
        best.bad |= !(x[i] <= LARGEST_FLOAT);
        if (i < decodable && (x[i] > best.max)) best.max = x[i], best.best = (int32_t)i;
      }
      found[t] = best;
      if (chunk > 0) return;
      for (int i = t; i < THIN_STEPS; i += THREADS) a.steps[row * THIN_STEPS + i] = 0;
      if (t == 0) a.rows[row] = {0, *a.failed};
    });
    for (int half = THREADS / 2; half >= 1; half /= 2) {
      block.each([&](int t) {
        if (t >= half) return;
        const int bad = found[t].bad | found[t + half].bad;
        if (is_better(found[t + half], found[t])) found[t] = found[t + half];
        found[t].bad = bad;
      });
    }
    block.own([&](int t) {
      if (t == 0) a.chunks[row * a.n_chunks + chunk] = found[0];
    });
  }
};

/// Grid: rows x chunks. Sixteen threads for each 1024 logits.
struct ThinSumsKernel {
  using Args = ThinArgs;
  static constexpr int THREADS = THIN_THREADS;
  static constexpr int64_t SHARED_BYTES = THIN_STEPS * 4 + 2 * 16;
  static_assert(THREADS / 16 * 1024 == LOGIT_CHUNK, "four sums");

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t row = block.x(), chunk = block.y(), begin = a.begin(chunk);
    const Thinning& how = a.how[row];
    const int64_t end = a.end(chunk, how.n_decodable);
    const float* const x = a.x + row * a.stride;
    int* const steps = block.template shared<int>(THIN_STEPS);
    float* const sums = block.template shared<float>(THREADS / 16);
    float* const maxima = block.template shared<float>(THREADS / WARP);
    if (begin >= end || how.list == Thinning::List::whole || how.list == Thinning::List::nothing) return;
    typename Block::template Local<float> largest, value;
    block.each([&](int t) {
      largest[t] = largest_of_row(a, row);
      value[t] = MINUS_INFINITY;
      for (int64_t i = begin + t; i < end; i += THREADS)
        value[t] = max1((x[i] - largest[t]) * how.inverse_temperature, value[t]);
      for (int i = t; i < THIN_STEPS; i += THREADS) steps[i] = 0;
    });
    fold_max(block, value, WARP);
    block.each([&](int t) {
      if (t % WARP == 0) maxima[t / WARP] = value[t];
      for (int64_t i = begin + t; how.list == Thinning::List::count && i < end; i += THREADS)
        add_to(&steps[step_of(x[i], largest[t])], 1);
    });
    block.own([&](int t) {
      const float most = max1(maxima[0], maxima[1]);
      const int64_t first = begin + t / 16 * 1024, last = first + 1024 < end ? first + 1024 : end;
      value[t] = 0.0f;
      for (int64_t i = first + t % 16; i < last; i += 16)
        value[t] = value[t] + exp1((x[i] - largest[t]) * how.inverse_temperature - most);
    });
    fold_add16(block, value);
    block.each([&](int t) {
      if (t % 16 == 0) sums[t / 16] = value[t];
      for (int i = t; how.list == Thinning::List::count && i < THIN_STEPS; i += THREADS)
        if (steps[i] != 0) add_to(&a.steps[row * THIN_STEPS + i], steps[i]);
    });
    block.own([&](int t) {
      if (t != 0) return;
      double total = 0.0;
      for (int i = 0; i < THREADS / 16 && begin + i * 1024 < end; ++i) total = total + (double)sums[i];
      a.chunks[row * a.n_chunks + chunk].scaled_max = max1(maxima[0], maxima[1]);
      a.chunks[row * a.n_chunks + chunk].scaled_sum = (float)total;
    });
  }
};

/// Grid: rows x chunks.
struct ThinListKernel {
  using Args = ThinArgs;
  static constexpr int THREADS = THIN_THREADS, EACH = THIN_STEPS / THREADS;
  static constexpr int64_t SHARED_BYTES = THREADS * 4;

  /// The step of the count-th largest, counted from the nearest on.
  static NEXTOKEN_HD int last_step(const int* parts, const int* steps, int count) {
    int part = 0, step = 0, reached = 0;
    while (part < THREADS - 1 && reached + parts[part] < count) reached += parts[part++];
    for (step = part * EACH; step < THIN_STEPS - 1; ++step) {
      reached += steps[step];
      if (reached >= count) break;
    }
    return step;
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t row = block.x(), chunk = block.y();
    const Thinning& how = a.how[row];
    const int64_t end = a.end(chunk, how.n_decodable);
    const float* const x = a.x + row * a.stride;
    const int* const steps = a.steps + row * THIN_STEPS;
    int* const parts = block.template shared<int>(THREADS);
    if (how.list == Thinning::List::whole || how.list == Thinning::List::nothing) return;
    block.each([&](int t) {
      parts[t] = 0;
      for (int i = 0; i < EACH; ++i) parts[t] += steps[t * EACH + i];
    });
    block.own([&](int t) {
      const float largest = largest_of_row(a, row), floor = largest - how.span;
      const bool by_count = how.list == Thinning::List::count;
      const int last = by_count ? last_step(parts, steps, how.count) : 0;
      for (int64_t i = a.begin(chunk) + t; i < end; i += THREADS) {
        if (x[i] == MINUS_INFINITY || !(by_count ? step_of(x[i], largest) <= last : x[i] >= floor)) continue;
        const int place = add_to(&a.rows[row].n_listed, 1);
        if (place < MOST_LISTED) a.list[row * MOST_LISTED + place] = {(int32_t)i, x[i]};
      }
    });
  }
};

} // namespace nextoken::cuda
