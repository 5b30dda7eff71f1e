#include "model/load.h"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "base/errors.h"
#include "base/exact_math.h"
#include "kernels/cpu_kernels.h"
#include "kernels/table.h"
#include "model/fingerprint.h"
#include "quant/pack.h"

namespace nextoken {
namespace {

constexpr int64_t PIECE_BYTES = int64_t{1} << 18; // of the file, read and packed by one thread at a time

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text;
}

/// A matrix of the model and where its rows come from.
struct PlannedMatrix {
  Matrix* matrix;
  const TensorSource* source;
  int64_t row_bytes; // in the file
  int64_t place;     // in storage
};

/// Checks every tensor against the spec and the file before any memory is taken.
class Plan {
 public:
  Plan(const TensorSources& sources, const File& file, bool check) : check(check), sources_(sources), file_(file) {}

  bool has(const std::string& role) const { return sources_.count(role) != 0; }

  void matrix(const std::string& role, int64_t n_rows, int64_t k, Matrix& m) {
    const TensorSource* source = find(role);
    if (!source) return;
    const quant::TypeInfo& info = type_of(*source);
    require_shape(*source, {k, n_rows});
    if (k % info.block_size != 0) {
      throw FormatError("tensor '" + source->name + "': rows of " + std::to_string(k) +
                            " elements are no whole blocks of " + info.name + ", which have " +
                            std::to_string(info.block_size),
                        source->name, source->offset);
    }
    const int64_t row_bytes = k / info.block_size * info.block_bytes;
    require_bytes(*source, row_bytes * n_rows);
    m.type = info.type;
    m.form = info.form;
    m.n_rows = n_rows;
    m.k = k;
    m.panel_bytes = quant::panel_bytes(info.type, k);
    matrices.push_back({&m, source, row_bytes, storage_bytes});
    storage_bytes += m.bytes();
    file_bytes += source->nbytes;
  }

  /// Of finite numbers, each at least `least`; any numbers where neither `check` nor a bound asks.
  void vector(const std::string& role, int64_t n, std::vector<float>& v, float least = -FLT_MAX) {
    const TensorSource* source = find(role);
    if (!source) return;
    const quant::TypeInfo& info = type_of(*source);
    require_shape(*source, {n});
    require_bytes(*source, (n + info.block_size - 1) / info.block_size * info.block_bytes);
    std::vector<uint8_t> bytes((size_t)source->nbytes);
    file_.read(bytes.data(), bytes.size(), source->offset, source->name);
    v.resize((size_t)n);
    quant::dequantize(info.type, bytes.data(), n, v.data());
    for (float x : v) {
      if (!std::isfinite(x) && (check || least > -FLT_MAX)) {
        throw NumericalError("tensor '" + source->name + "' holds numbers that are not finite");
      }
      if (x < least) {
        throw FormatError(
            "tensor '" + source->name + "' holds " + std::to_string(x) + ", less than " + std::to_string(least),
            source->name, source->offset);
      }
    }
    fingerprint.add(bytes.data(), source->nbytes);
  }

  void require_complete() const {
    if (missing_.empty()) return;
    std::string text = "the file lacks tensors this architecture needs: ";
    for (size_t i = 0; i < missing_.size() && i < 10; ++i) text += (i ? ", " : "") + missing_[i];
    if (missing_.size() > 10) text += " and " + std::to_string(missing_.size() - 10) + " more";
    throw FormatError(text, missing_[0]);
  }

  const bool check; // that weights are finite
  std::vector<PlannedMatrix> matrices;
  int64_t storage_bytes = 0, file_bytes = 0;
  Fingerprint fingerprint;

 private:
  const TensorSource* find(const std::string& role) {
    const auto found = sources_.find(role);
    if (found != sources_.end()) return &found->second;
    missing_.push_back(role);
    return nullptr;
  }

  static const quant::TypeInfo& type_of(const TensorSource& source) {
    try {
      return quant::type_info((WeightType)source.type);
    } catch (const UnsupportedError& e) {
      throw UnsupportedError("tensor '" + source.name + "': " + e.what());
    }
  }

  static void require_shape(const TensorSource& source, std::vector<int64_t> expected) {
    std::vector<int64_t> actual = source.shape;
    while (actual.size() > expected.size() && actual.back() == 1) actual.pop_back();
    if (actual != expected) {
      throw FormatError("tensor '" + source.name + "' is " + shape_text(source.shape) +
                            ", the hyper-parameters ask for " + shape_text(expected),
                        source.name, source.offset);
    }
  }

  void require_bytes(const TensorSource& source, int64_t nbytes) const {
    if (source.nbytes != nbytes || source.offset < 0 || source.offset > file_.size() - nbytes) {
      throw TruncatedError("tensor '" + source.name + "' at byte " + std::to_string(source.offset) + " needs " +
                               std::to_string(nbytes) + " bytes of a file of " + std::to_string(file_.size()),
                           source.name, source.offset, source.offset + nbytes, file_.size());
    }
  }

  const TensorSources& sources_;
  const File& file_;
  std::vector<std::string> missing_;
};

void plan_weights(const Spec& s, Plan& plan, Weights& w) {
  plan.matrix("embedding", s.vocab_size, s.hidden_size, w.embedding);
  if (plan.has("lm_head")) plan.matrix("lm_head", s.vocab_size, s.hidden_size, w.head);
  plan.vector("final_norm", s.hidden_size, w.final_norm);
  if (plan.has("rope_factors")) plan.vector("rope_factors", s.n_rot / 2, w.rope_factors, LEAST_ROPE_DIVISOR);
  w.layers.resize((size_t)s.n_layers());
  for (size_t i = 0; i < w.layers.size(); ++i) {
    Layer& layer = w.layers[i];
    const std::string prefix = "layers." + std::to_string(i) + ".";
    plan.vector(prefix + "attn_norm", s.hidden_size, layer.attn_norm);
    plan.matrix(prefix + "q", s.q_size(), s.hidden_size, layer.wq);
    plan.matrix(prefix + "k", s.kv_size(), s.hidden_size, layer.wk);
    plan.matrix(prefix + "v", s.kv_size(), s.hidden_size, layer.wv);
    plan.matrix(prefix + "o", s.hidden_size, s.q_size(), layer.wo);
    plan.vector(prefix + "ffn_norm", s.hidden_size, layer.ffn_norm);
    plan.matrix(prefix + "gate", s.ffn_size, s.hidden_size, layer.w_gate);
    plan.matrix(prefix + "up", s.ffn_size, s.hidden_size, layer.w_up);
    plan.matrix(prefix + "down", s.hidden_size, s.ffn_size, layer.w_down);
    if (s.qk_norm) {
      plan.vector(prefix + "q_norm", s.head_dim, layer.q_norm);
      plan.vector(prefix + "k_norm", s.head_dim, layer.k_norm);
    }
    if (s.post_norms) {
      plan.vector(prefix + "attn_post_norm", s.hidden_size, layer.attn_post_norm);
      plan.vector(prefix + "ffn_post_norm", s.hidden_size, layer.ffn_post_norm);
    }
  }
  plan.require_complete();
}

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

/// What the pass reads of each layer, from the spec.
void connect(Model& model) {
  const Spec& s = model.spec;
  Weights& w = model.weights;
  w.lm_head.parts = {w.head.panels ? &w.head : &w.embedding};
  std::vector<std::pair<double, double>> rotations;
  for (size_t i = 0; i < w.layers.size(); ++i) {
    Layer& layer = w.layers[i];
    const LayerSpec& spec = s.layers[i];
    layer.qkv.parts = {&layer.wq, &layer.wk, &layer.wv};
    layer.o.parts = {&layer.wo};
    layer.gate_up.parts = {&layer.w_gate, &layer.w_up};
    layer.down.parts = {&layer.w_down};
    layer.attention = {
        s.n_heads, s.n_kv_heads, s.head_dim, spec.window, (float)s.attention_scale, (float)s.attention_soft_cap};
    const std::pair<double, double> rotation{spec.rope_theta, spec.rope_factor};
    const auto found = std::find(rotations.begin(), rotations.end(), rotation);
    layer.rotation = (size_t)(found - rotations.begin());
    if (found == rotations.end()) rotations.push_back(rotation);
  }
  // RoFormer, Su et al. 2021, arXiv:2104.09864
  for (const auto& [theta, factor] : rotations) {
    std::vector<double> inverse((size_t)(s.n_rot / 2));
    for (size_t c = 0; c < inverse.size(); ++c) {
      inverse[c] = exact_pow(theta, -2.0 * (double)c / (double)s.n_rot) / factor;
      if (!w.rope_factors.empty()) inverse[c] /= (double)w.rope_factors[c];
    }
    model.inverse_frequencies.push_back(std::move(inverse));
  }
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
