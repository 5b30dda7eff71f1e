// Thinned rows of logits of the kernel set on a card: one copy back.
#include <algorithm>

#include "base/errors.h"
#include "kernels/cuda/card.h"
#include "kernels/cuda/cuda_kernels.h"

namespace nextoken::cuda {

void CudaKernels::thin(Rows<const float> logits, const std::vector<Thinning>& how, std::vector<ThinRow>& rows) {
  const int64_t n_rows = logits.rows, n_chunks = divide_up(logits.cols, LOGIT_CHUNK);
  const auto listed = [](const Thinning& t) {
    return t.list == Thinning::List::count || t.list == Thinning::List::span;
  };
  // What comes back stands together: rows, chunks, and the lists if somebody reads them.
  const int64_t rows_bytes = shared_size(n_rows * (int64_t)sizeof(ThinArgs::Row));
  const int64_t heads_bytes = rows_bytes + shared_size(n_rows * n_chunks * (int64_t)sizeof(ThinArgs::Chunk));
  const int64_t list_bytes = n_rows * MOST_LISTED * (int64_t)sizeof(ScoredId);
  const int64_t back = heads_bytes + (std::any_of(how.begin(), how.end(), listed) ? list_bytes : 0);
  const int64_t bytes = heads_bytes + list_bytes + n_rows * THIN_STEPS * 4;
  if (thin_.size() < bytes) thin_ = Buffer(&card_, bytes, "thinned logits"); // nothing in it is waited for
  tell(told_thinning_, how);
  uint8_t* const room = thin_.data();
  const ThinArgs args{logits.data,
                      logits.stride,
                      logits.cols,
                      n_chunks,
                      told_thinning_.as<Thinning>(),
                      failed_.as<int>(),
                      (ThinArgs::Row*)room,
                      (ThinArgs::Chunk*)(room + rows_bytes),
                      (int32_t*)(room + heads_bytes + list_bytes),
                      (ScoredId*)(room + heads_bytes)};
  cuda::thin(queue_, args, n_rows);
  queue_.finish();
  thinned_.resize((size_t)divide_up(back, 16));
  card_.download(thinned_.data(), room, back);
  card_.check();

  const auto* const found = (const uint8_t*)thinned_.data();
  const auto* const heads = (const ThinArgs::Row*)found;
  rows.assign((size_t)n_rows, {});
  for (int64_t r = 0; r < n_rows; ++r) {
    if (heads[r].failed) throw NumericalError(NOT_FINITE);
    const auto* const chunks = (const ThinArgs::Chunk*)(found + rows_bytes) + r * n_chunks;
    ThinRow& row = rows[(size_t)r];
    row.n = logits.cols;
    row.fine = true;
    ThinArgs::Chunk best = chunks[0];
    for (int64_t c = 0; c < n_chunks; ++c) {
      row.fine = row.fine && !chunks[c].bad;
      if (is_better(chunks[c], best)) best = chunks[c];
      row.chunk_max.push_back(chunks[c].scaled_max);
      row.chunk_sum.push_back(chunks[c].scaled_sum);
    }
    row.best = best.best;
    row.max = best.max;
    const Thinning& wanted = how[(size_t)r];
    const bool all = listed(wanted) && heads[r].n_listed <= MOST_LISTED;
    row.floor = all && wanted.list == Thinning::List::span ? row.max - wanted.span : -MINUS_INFINITY;
    if (all) {
      const auto* const list = (const ScoredId*)(found + heads_bytes) + r * MOST_LISTED;
      row.above.assign(list, list + heads[r].n_listed);
      std::sort(row.above.begin(), row.above.end(), [](const ScoredId& a, const ScoredId& b) { return a.id < b.id; });
    }
    const float* const x = logits[r];
    row.fetch = [this, x](int64_t begin, int64_t n, float* to) {
      card_.download(to, x + begin, n * 4);
      card_.check();
    };
  }
}

} // namespace nextoken::cuda
