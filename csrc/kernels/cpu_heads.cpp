// Matrices of single heads, those of latent attention: all of them in one region.
#include <algorithm>
#include <cstring>

#include "kernels/cpu_kernels.h"

namespace nextoken {
namespace {

constexpr int64_t PANELS_A_PIECE = 4;
constexpr int64_t DECODE_ROWS = 8;

/// Rows head, head + n, head + 2 n and so on.
Activations of_head(Activations a, int64_t head, int64_t n) {
  if (a.x) a.x += head * a.x_stride;
  if (a.codes) a.codes += head * a.codes_stride;
  if (a.scale) a.scale += head * a.scale_stride;
  if (a.scaled_sum) a.scaled_sum += head * a.scale_stride;
  if (a.sum) a.sum += head * a.sum_stride;
  a.rows /= n;
  a.x_stride *= n;
  a.codes_stride *= n;
  a.scale_stride *= n;
  a.sum_stride *= n;
  return a;
}

} // namespace

void CpuKernels::head_matmul(const Batch& batch, Rows<const float> x, const std::vector<Matrix>& heads, Hidden& room,
                             Rows<float> y) {
  const int64_t n = (int64_t)heads.size(), from = x.cols / n, to = y.cols / n;
  const int64_t k = heads[0].k, n_rows = heads[0].n_rows, rest = from - k;
  const unsigned forms = 1u << (int)heads[0].form;
  const Rows<float> in = room.reset(x.rows * n, k);
  each_row(batch, x.rows, [&](int64_t t) {
    for (int64_t h = 0; h < n; ++h) {
      std::memcpy(in[t * n + h], x[t] + h * from, (size_t)k * 4);
      quantize_row(room, forms, t * n + h);
      std::memcpy(y[t] + h * to + n_rows, x[t] + h * from + k, (size_t)rest * 4);
    }
  });
  const Activations all = room.form(heads[0].form);
  const int64_t pieces_a_head = (heads[0].n_panels() + PANELS_A_PIECE - 1) / PANELS_A_PIECE;
  const auto run = [&](int64_t begin, int64_t end, int) {
    while (begin < end) {
      const int64_t head = begin / pieces_a_head, first = begin % pieces_a_head;
      const int64_t last = std::min(pieces_a_head, first + end - begin);
      const Matrix& m = heads[(size_t)head];
      table_.matmul({m.type, m.panels, m.panel_bytes, n_rows, k, first * PANELS_A_PIECE,
                     std::min(m.n_panels(), last * PANELS_A_PIECE), of_head(all, head, n), 0, x.rows,
                     y.data + head * to, y.stride});
      begin += last - first;
    }
  };
  if (x.rows <= DECODE_ROWS) {
    pool_.divide_runs(n * pieces_a_head, run);
    if (batch.poll) (*batch.poll)();
  } else {
    pool_.divide(n * pieces_a_head, batch.poll, [&](int64_t piece, int thread) { run(piece, piece + 1, thread); });
  }
}

} // namespace nextoken
