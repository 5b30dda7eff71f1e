#include "model/load.h"

#include <algorithm>
#include <atomic>

#include "base/errors.h"
#include "kernels/cpu_kernels.h"
#include "kernels/table.h"
#include "model/connect.h"
#include "model/plan.h"
#include "quant/pack.h"

namespace nextoken {
namespace {

constexpr int64_t PIECE_BYTES = int64_t{1} << 18; // of the file, read and packed by one thread at a time

/// Panels [begin, end) of one matrix.
struct Piece {
  const PlannedMatrix* planned;
  int64_t begin, end;
};

void read_matrices(const File& file, Plan& plan, uint8_t* storage, ThreadPool& pool, Poll* poll,
                   const Progress& progress) {
  std::vector<Piece> pieces;
  int64_t buffer_bytes = 0;
  for (PlannedMatrix& planned : plan.matrices) {
    planned.matrix->panels = storage + planned.place;
    const int64_t panels = planned.matrix->n_panels();
    const int64_t step = std::max<int64_t>(1, PIECE_BYTES / (planned.row_bytes * PANEL_ROWS));
    for (int64_t p = 0; p < panels; p += step) pieces.push_back({&planned, p, std::min(panels, p + step)});
    buffer_bytes = std::max(buffer_bytes, std::min(step, panels) * PANEL_ROWS * planned.row_bytes);
  }
  std::vector<Buffer> buffers;
  for (int i = 0; i < pool.size(); ++i) buffers.emplace_back(buffer_bytes, "reading weights");
  std::vector<uint64_t> hashes(pieces.size());
  std::atomic<int64_t> done{0};

  struct ReportingPoll : Poll {
    void operator()() override {
      if (poll) (*poll)();
      if (progress) progress(done.load(std::memory_order_relaxed), total);
    }
    ReportingPoll(Poll* poll, const Progress& progress, std::atomic<int64_t>& done, int64_t total)
        : poll(poll), progress(progress), done(done), total(total) {}
    Poll* poll;
    const Progress& progress;
    std::atomic<int64_t>& done;
    int64_t total;
  } reporting(poll, progress, done, plan.file_bytes);

  pool.for_each((int64_t)pieces.size(), &reporting, [&](int64_t i, int thread) {
    const Piece& piece = pieces[(size_t)i];
    const PlannedMatrix& planned = *piece.planned;
    const Matrix& m = *planned.matrix;
    const int64_t first_row = piece.begin * PANEL_ROWS, last_row = std::min(m.n_rows, piece.end * PANEL_ROWS);
    const int64_t bytes = (last_row - first_row) * planned.row_bytes;
    uint8_t* const buffer = buffers[(size_t)thread].data();
    file.read(buffer, (size_t)bytes, planned.source->offset + first_row * planned.row_bytes, planned.source->name);
    Fingerprint hash;
    hash.add(buffer, bytes);
    hashes[(size_t)i] = hash.value();
    for (int64_t p = piece.begin; p < piece.end; ++p) {
      const int64_t row = p * PANEL_ROWS;
      const bool finite =
          quant::pack_panel(m.type, buffer + (row - first_row) * planned.row_bytes,
                            std::min(PANEL_ROWS, m.n_rows - row), m.k, storage + planned.place + p * m.panel_bytes);
      if (!finite && plan.check) {
        throw NumericalError("tensor '" + planned.source->name + "' holds numbers that are not finite, between rows " +
                             std::to_string(row) + " and " + std::to_string(std::min(row + PANEL_ROWS, m.n_rows)));
      }
    }
    done.fetch_add(bytes, std::memory_order_relaxed);
  });
  if (progress) progress(plan.file_bytes, plan.file_bytes);
  plan.fingerprint.add(reinterpret_cast<const uint8_t*>(hashes.data()), (int64_t)hashes.size() * 8);
}

} // namespace

std::unique_ptr<Model> load_model(const Spec& spec, const TensorSources& sources, const std::string& path,
                                  const File* header, int n_threads, const char* isa, bool check, Poll* poll,
                                  const Progress& progress) {
  validate(spec);
  const KernelTable& table = kernel_table(isa);
  const File file(path);
  if (header) file.check_same(*header);
  auto model = std::make_unique<Model>();
  model->spec = spec;
  Plan plan(sources, file, check);
  plan_weights(spec, plan, model->weights);

  require_memory(plan.storage_bytes, "the weights");
  model->weights.storage = Buffer(plan.storage_bytes, "the weights");
  model->pool = std::make_unique<ThreadPool>(n_threads);
  model->kernels = std::make_unique<CpuKernels>(table, *model->pool);
  plan.fingerprint.add(spec);
  read_matrices(file, plan, model->weights.storage.data(), *model->pool, poll, progress);
  file.check_unchanged();
  model->fingerprint = plan.fingerprint.hex();
  connect(*model);
  return model;
}

} // namespace nextoken
