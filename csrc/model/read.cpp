#include "model/read.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/errors.h"
#include "model/read_scaled.h"

namespace nextoken {
namespace {

constexpr int64_t PIECE_BYTES = int64_t{1} << 18;   // of a file, read and packed by one thread at a time
constexpr int64_t STAGED_BYTES = int64_t{32} << 20; // on their way to a device at once
constexpr int64_t PANELS_OF_COLUMNS = 64;           // of a transposed matrix: 2 or 4 KiB of a column

/// Panels [begin, end) of one matrix.
struct Piece {
  const PlannedMatrix* planned;
  int64_t begin, end;

  int64_t place() const { return planned->place + begin * planned->matrix->panel_bytes; }
  int64_t place_end() const { return planned->place + end * planned->matrix->panel_bytes; }
};

std::string rows_text(const PlannedMatrix& planned, int64_t row) {
  return "tensor '" + planned.source->name + "', between rows " + std::to_string(row) + " and " +
         std::to_string(std::min(row + PANEL_ROWS, planned.matrix->n_rows)) + ": ";
}

/// The same of columns in blocks, which become floats. Pieces begin where blocks of any type do.
void read_block_columns(const File& file, const PlannedMatrix& planned, int64_t first, int64_t last, uint8_t* out) {
  const TensorSource& source = *planned.source;
  const quant::TypeInfo& info = quant::type_info((WeightType)source.type);
  const int64_t k = planned.matrix->k, n = last - first;
  const auto bytes_of = [&](int64_t elements) { return elements / info.block_size * info.block_bytes; };
  std::vector<uint8_t> part((size_t)bytes_of(n));
  std::vector<float> floats((size_t)n);
  for (int64_t c = 0; c < k; ++c) {
    const int64_t at = planned.offset + c * bytes_of(planned.matrix->n_rows) + bytes_of(first);
    file.read(part.data(), part.size(), at, source.name);
    quant::dequantize(info.type, part.data(), n, floats.data());
    for (int64_t r = 0; r < n; ++r) std::memcpy(out + (r * k + c) * 4, &floats[(size_t)r], 4);
  }
}

/// Rows [first, last) of a matrix that the file has column by column: some kilobytes of each column at a time.
void read_columns(const File& file, const PlannedMatrix& planned, int64_t first, int64_t last, uint8_t* out) {
  const TensorSource& source = *planned.source;
  const int64_t k = planned.matrix->k, n = last - first, size = planned.row_bytes / k;
  const int64_t column = source.rows_in_file(planned.matrix->n_rows), step = source.row_step;
  const int64_t begin = source.first_row + first * step;
  std::vector<uint8_t> part((size_t)(((n - 1) * step + 1) * size));
  for (int64_t c = 0; c < k; ++c) {
    file.read(part.data(), part.size(), planned.offset + (c * column + begin) * size, source.name);
    for (int64_t r = 0; r < n; ++r) std::memcpy(out + (r * k + c) * size, part.data() + r * step * size, (size_t)size);
  }
}

/// Rows [first, last) of the matrix as the file has them.
void read_rows(const Plan& plan, const PlannedMatrix& planned, int64_t first, int64_t last, uint8_t* out) {
  const TensorSource& source = *planned.source;
  if (source.scales.codes != Codes::none) return read_scaled_rows(plan, planned, first, last, out);
  const File& file = plan.file_of(source);
  const int64_t row_bytes = planned.row_bytes;
  if (source.transposed) {
    const bool blocks = (int32_t)planned.type != source.type;
    return (blocks ? read_block_columns : read_columns)(file, planned, first, last, out);
  }
  if (!source.reorders()) {
    file.read(out, (size_t)((last - first) * row_bytes), planned.offset + first * row_bytes, source.name);
    return;
  }
  for (int64_t row = first; row < last; ++row) {
    const int64_t from = source.stored_row(planned.matrix->n_rows, row);
    file.read(out + (row - first) * row_bytes, (size_t)row_bytes, planned.offset + from * row_bytes, source.name);
  }
}

/// Memory of one thread.
struct Scratch {
  Buffer bytes;     // of a piece, as the file has them
  Buffer row;       // floats of a row that is converted
  Buffer converted; // rows of a panel
};

void pack_as_it_is(const PlannedMatrix& planned, int64_t row, const uint8_t* bytes, bool check, uint8_t* panel) {
  const Matrix& m = *planned.matrix;
  if (!quant::pack_panel(m.type, bytes, std::min(PANEL_ROWS, m.n_rows - row), m.k, panel) && check) {
    throw NumericalError(rows_text(planned, row) + "holds numbers that are not finite");
  }
}

/// Numbers that are not finite have no place in a block: they are refused whatever `check` says.
void pack_converted(const PlannedMatrix& planned, int64_t row, const uint8_t* bytes, Scratch& scratch, uint8_t* panel) {
  const Matrix& m = *planned.matrix;
  const quant::TypeInfo& info = quant::type_info(m.type);
  const int64_t n_rows = std::min(PANEL_ROWS, m.n_rows - row), row_bytes = m.k / info.block_size * info.block_bytes;
  float* const floats = scratch.row.as<float>();
  for (int64_t r = 0; r < n_rows; ++r) {
    quant::dequantize(planned.type, bytes + r * planned.row_bytes, m.k, floats);
    bool finite = true;
    for (int64_t i = 0; i < m.k; ++i) finite &= std::isfinite(floats[i]);
    if (!finite) throw NumericalError(rows_text(planned, row) + "holds numbers that are not finite");
    quant::quantize(m.type, floats, m.k, scratch.converted.data() + r * row_bytes);
  }
  if (!quant::pack_panel(m.type, scratch.converted.data(), n_rows, m.k, panel)) {
    throw NumericalError(rows_text(planned, row) + "holds numbers too large for " + info.name);
  }
}

std::vector<Scratch> make_scratch(const Plan& plan, int n_threads, int64_t piece_bytes) {
  int64_t row = 0, converted = 0;
  for (const PlannedMatrix& planned : plan.matrices) {
    if (!planned.converted()) continue;
    const quant::TypeInfo& info = quant::type_info(planned.matrix->type);
    row = std::max(row, planned.matrix->k * 4);
    converted = std::max(converted, planned.matrix->k / info.block_size * info.block_bytes * PANEL_ROWS);
  }
  std::vector<Scratch> all;
  for (int i = 0; i < n_threads; ++i) {
    all.push_back({Buffer(piece_bytes, "reading weights"), Buffer(row, "converting weights"),
                   Buffer(converted, "converting weights")});
  }
  return all;
}

struct ReportingPoll : Poll {
  ReportingPoll(Poll* poll, const Progress& progress, int64_t total) : poll(poll), progress(progress), total(total) {}
  void operator()() override {
    if (poll) (*poll)();
    if (progress) progress(done.load(std::memory_order_relaxed), total);
  }
  Poll* poll;
  const Progress& progress;
  int64_t total;
  std::atomic<int64_t> done{0};
};

} // namespace

void read_matrices(Plan& plan, uint8_t* storage, Device* device, ThreadPool& pool, Poll* poll,
                   const Progress& progress) {
  std::vector<Piece> pieces;
  int64_t piece_bytes = 0;
  for (PlannedMatrix& planned : plan.matrices) {
    planned.matrix->panels = storage + planned.place;
    const int64_t panels = planned.matrix->n_panels();
    int64_t step = std::max<int64_t>(1, PIECE_BYTES / (planned.row_bytes * PANEL_ROWS));
    if (planned.source->transposed) step = std::max(step / PANELS_OF_COLUMNS, int64_t{1}) * PANELS_OF_COLUMNS;
    for (int64_t p = 0; p < panels; p += step) pieces.push_back({&planned, p, std::min(panels, p + step)});
    piece_bytes = std::max(piece_bytes, std::min(step, panels) * PANEL_ROWS * planned.row_bytes);
  }
  std::vector<Scratch> scratch = make_scratch(plan, pool.size(), piece_bytes);
  std::vector<uint64_t> hashes(pieces.size());
  ReportingPoll reporting(poll, progress, plan.file_bytes);

  const auto read = [&](size_t i, int thread, uint8_t* base) {
    const Piece& piece = pieces[i];
    const PlannedMatrix& planned = *piece.planned;
    const Matrix& m = *planned.matrix;
    const int64_t first_row = piece.begin * PANEL_ROWS, last_row = std::min(m.n_rows, piece.end * PANEL_ROWS);
    const int64_t bytes = (last_row - first_row) * planned.row_bytes;
    Scratch& mine = scratch[(size_t)thread];
    read_rows(plan, planned, first_row, last_row, mine.bytes.data());
    Fingerprint hash;
    hash.add(mine.bytes.data(), bytes);
    hashes[i] = hash.value();
    for (int64_t p = piece.begin; p < piece.end; ++p) {
      const uint8_t* const from = mine.bytes.data() + (p - piece.begin) * PANEL_ROWS * planned.row_bytes;
      uint8_t* const panel = base + planned.place + p * m.panel_bytes;
      if (planned.converted()) {
        pack_converted(planned, p * PANEL_ROWS, from, mine, panel);
      } else {
        pack_as_it_is(planned, p * PANEL_ROWS, from, plan.check, panel);
      }
    }
    reporting.done.fetch_add(bytes, std::memory_order_relaxed);
  };
  // Pieces [first, last) into memory that stands for storage from the first one's place on.
  const auto read_all = [&](size_t first, size_t last, uint8_t* base) {
    pool.for_each((int64_t)(last - first), &reporting,
                  [&](int64_t i, int thread) { read(first + (size_t)i, thread, base); });
  };
  if (!device) {
    read_all(0, pieces.size(), storage);
  } else {
    int64_t largest = STAGED_BYTES;
    for (const Piece& piece : pieces) largest = std::max(largest, piece.place_end() - piece.place());
    const std::unique_ptr<Staging> staging = device->make_staging(largest);
    for (size_t first = 0, last = 0; first < pieces.size(); first = last) {
      const int64_t place = pieces[first].place();
      while (last < pieces.size() && pieces[last].place_end() - place <= largest) ++last;
      read_all(first, last, staging->next() - place);
      staging->send(storage + place, pieces[last - 1].place_end() - place);
    }
  }
  if (progress) progress(plan.file_bytes, plan.file_bytes);
  plan.fingerprint.add(reinterpret_cast<const uint8_t*>(hashes.data()), (int64_t)hashes.size() * 8);
}

} // namespace nextoken
