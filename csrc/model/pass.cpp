#include "model/pass.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include "base/errors.h"
#include "base/finite.h"
#include "base/float_environment.h"
#include "model/forward.h"
#include "model/profiled_kernels.h"

namespace nextoken {
namespace {

constexpr int64_t CHUNK_ROWS = 256;        // rows of a forward pass: their activations stay in the second-level cache
constexpr int64_t DECODE_ROWS = 8;         // smallest workspace
constexpr int64_t LOGIT_ROWS_AT_ONCE = 16; // bounds the memory of [R, V]

void check(const Model& model, const std::vector<SequenceStep>& steps) {
  for (size_t i = 0; i < steps.size(); ++i) {
    const SequenceStep& step = steps[i];
    require_room(step.cache->length(), step.n, step.cache->n_ctx());
    // Learned positions end somewhere, whatever the cache would hold.
    if (model.weights.positions.panels) require_room(step.cache->length(), step.n, model.weights.positions.n_rows);
    for (int64_t t = 0; t < step.n; ++t) {
      if (step.ids[t] < 0 || step.ids[t] >= model.spec.vocab_size) {
        throw std::invalid_argument("token id " + std::to_string(step.ids[t]) + " at index " + std::to_string(t) +
                                    " is not in the vocabulary of " + std::to_string(model.spec.vocab_size));
      }
    }
    for (size_t j = 0; j < i; ++j) {
      if (steps[j].cache == step.cache) throw std::invalid_argument("the same session stands in the batch twice");
    }
  }
}

/// The next rows of the steps from (sequence, token) on, at most CHUNK_ROWS of them.
struct Cursor {
  size_t sequence = 0;
  int64_t token = 0;

  void next(const std::vector<SequenceStep>& steps, Batch& batch, std::vector<size_t>& batch_sequences) {
    batch.token_ids.clear();
    batch.positions.clear();
    batch.pieces.clear();
    batch_sequences.clear();
    while (sequence < steps.size() && batch.size() < CHUNK_ROWS) {
      const SequenceStep& step = steps[sequence];
      const int64_t n = std::min(step.n - token, CHUNK_ROWS - batch.size());
      if (n > 0) {
        const int64_t first = step.cache->length() + token;
        batch.pieces.push_back({step.cache, batch.size(), n, first});
        batch_sequences.push_back(sequence);
        for (int64_t i = 0; i < n; ++i) batch.positions.push_back(first + i);
        batch.token_ids.insert(batch.token_ids.end(), step.ids + token, step.ids + token + n);
        token += n;
      }
      if (token == step.n) ++sequence, token = 0;
    }
  }
};

/// What a sampler checks itself.
void require_finite(const Rows<float>& logits, int64_t row) {
  if (!all_finite(logits[row], logits.cols)) throw NumericalError("the model's logits are not finite numbers");
}

/// A pass on its way; `profiled` is null, or its kernels.
struct Running {
  Model& model;
  Kernels& kernels;
  const std::vector<SequenceStep>& steps;
  ProfiledKernels* profiled;

  void lap(Op op) const {
    if (profiled) profiled->lap_of_processor(op);
  }
};

/// Rows of logits on a device, of the sequences from `begin` on that end in this batch.
void give_thin_rows(const Running& pass, Rows<const float> logits, size_t begin, LastRows& last) {
  const std::vector<size_t>& ending = pass.model.workspace.ending;
  std::vector<Thinning> how;
  std::vector<ThinRow> rows;
  for (int64_t i = 0; i < logits.rows; ++i) how.push_back(last.thinning(ending[begin + (size_t)i]));
  pass.kernels.thin(logits, how, rows);
  pass.model.pool->for_each(logits.rows, nullptr,
                            [&](int64_t i, int) { last.take(ending[begin + (size_t)i], rows[(size_t)i]); });
}

/// Logits of the last rows of the sequences that end in this batch.
void give_last_rows(const Running& pass, LastRows* last) {
  Model& model = pass.model;
  const std::vector<SequenceStep>& steps = pass.steps;
  Workspace& w = model.workspace;
  const Batch& batch = w.batch;
  std::vector<size_t>& ending = w.ending;
  ending.clear();
  for (size_t p = 0; p < batch.pieces.size(); ++p) {
    const BatchPiece& piece = batch.pieces[p];
    const SequenceStep& step = steps[w.batch_sequences[p]];
    if (piece.first_position + piece.n_tokens < step.cache->length() + step.n) continue;
    // Rows move up only: a row is read before another is written over it.
    float* const to = w.x[(int64_t)ending.size()];
    const float* const from = w.x[piece.row_begin + piece.n_tokens - 1];
    if (model.device) {
      if (to != from) {
        pass.kernels.finish(); // copies do not wait for what the kernels keep back
        model.device->copy(to, from, w.x.cols * 4);
      }
    } else {
      std::memmove(to, from, (size_t)w.x.cols * 4);
    }
    ending.push_back(w.batch_sequences[p]);
  }
  if (ending.empty()) pass.kernels.finish();
  for (size_t begin = 0; begin < ending.size(); begin += LOGIT_ROWS_AT_ONCE) {
    const int64_t n = std::min<int64_t>(LOGIT_ROWS_AT_ONCE, (int64_t)(ending.size() - begin));
    pass.lap(Op::rest);
    const Rows<float> computed = w.logits_rows(n);
    project_logits(model, pass.kernels, batch, w.x.slice((int64_t)begin, (int64_t)begin + n), w, computed);
    if (model.device && last) {
      give_thin_rows(pass, computed, begin, *last);
      pass.lap(Op::sampling);
      continue;
    }
    pass.kernels.finish();
    const Rows<float> logits = w.on_processor(computed);
    model.pool->for_each(n, nullptr, [&](int64_t i, int) {
      const size_t sequence = ending[begin + (size_t)i];
      if (last) {
        last->take(sequence, logits[i]);
      } else {
        require_finite(logits, i);
        std::memcpy(steps[sequence].logits, logits[i], (size_t)logits.cols * 4);
      }
    });
    pass.lap(last ? Op::sampling : Op::rest);
  }
}

void give_all_rows(const Running& pass) {
  Model& model = pass.model;
  Workspace& w = model.workspace;
  const Batch& batch = w.batch;
  const int64_t vocab_size = model.spec.vocab_size;
  for (size_t p = 0; p < batch.pieces.size(); ++p) {
    const BatchPiece& piece = batch.pieces[p];
    const SequenceStep& step = pass.steps[w.batch_sequences[p]];
    const int64_t first = piece.first_position - step.cache->length();
    const Rows<float> logits{step.logits + first * vocab_size, piece.n_tokens, vocab_size, vocab_size};
    pass.lap(Op::rest);
    const int64_t rows_at_once = model.device ? LOGIT_ROWS_AT_ONCE : piece.n_tokens;
    for (int64_t t = 0; t < piece.n_tokens; t += rows_at_once) {
      const int64_t n = std::min(rows_at_once, piece.n_tokens - t), row = piece.row_begin + t;
      const Rows<float> some = logits.slice(t, t + n), computed = model.device ? w.logits_rows(n) : some;
      project_logits(model, pass.kernels, batch, w.x.slice(row, row + n), w, computed);
      if (!model.device) continue;
      pass.kernels.finish();
      model.device->download(some.data, computed.data, n * vocab_size * 4);
    }
    pass.kernels.finish();
    model.pool->for_each(piece.n_tokens, nullptr, [&](int64_t i, int) { require_finite(logits, i); });
  }
}

/// Gives back what the caches reserved unless the pass went through.
struct Rollback {
  const std::vector<SequenceStep>& steps;
  bool armed = true;
  ~Rollback() {
    if (!armed) return;
    for (const SequenceStep& step : steps) step.cache->trim();
  }
};

} // namespace

void require_room(int64_t length, int64_t n, int64_t n_ctx) {
  const int64_t needed = length + n;
  if (needed <= n_ctx) return;
  throw ContextLengthError(std::to_string(needed) + " tokens do not fit the context of " + std::to_string(n_ctx) +
                               "; shorten the prompt, or load the model with a larger n_ctx",
                           needed, n_ctx);
}

void run_pass(Model& model, const std::vector<SequenceStep>& steps, Logits logits, Poll* poll, const Progress& progress,
              LastRows* last, Profile* profile) {
  const DefaultFloatEnvironment environment;
  if (model.closed) throw ClosedError("the model was closed");
  std::optional<Profile::Recording> recording;
  std::optional<ProfiledKernels> profiled;
  if (profile) profiled.emplace(model, recording.emplace(*profile, *model.pool));
  check(model, steps);

  Rollback rollback{steps};
  int64_t total = 0, done = 0;
  for (const SequenceStep& step : steps) {
    step.cache->reserve(step.n);
    total += step.n;
  }
  int64_t rows = DECODE_ROWS; // a power of two: a short prompt does not pay for a long one
  while (rows < std::min(total, CHUNK_ROWS)) rows *= 2;
  if (model.workspace.max_rows < rows) {
    model.workspace = Workspace(); // gives the smaller one back first
    model.workspace = Workspace(model.spec, rows, (int64_t)model.rotations.size(), model.device);
  }

  Kernels& kernels = profiled ? static_cast<Kernels&>(*profiled) : *model.kernels;
  const Running pass{model, kernels, steps, profiled ? &*profiled : nullptr};
  Batch& batch = model.workspace.batch;
  batch.poll = poll;
  batch.op_by_op = profile != nullptr;
  Cursor cursor;
  while (done < total) {
    cursor.next(steps, batch, model.workspace.batch_sequences);
    forward(model, pass.kernels, batch, model.workspace);
    if (logits == Logits::none) pass.kernels.finish();
    if (logits == Logits::last) give_last_rows(pass, last);
    if (logits == Logits::all) give_all_rows(pass);
    done += batch.size();
    if (progress) progress(done, total);
  }
  for (const SequenceStep& step : steps) step.cache->commit(step.ids, step.n);
  rollback.armed = false;
  if (recording) recording->finish(total, total == (int64_t)steps.size());
}

} // namespace nextoken
