// One sequence's way from a row of logits to the next token.
//
// Order of the stages, each off by default:
//   allowed_token_ids   everything else is -inf, as is what the tokenizer has no text for
//   logit_bias          added
//   repetition_penalty  positive logits divided by it, others multiplied, once for each token seen in prompt or answer
//   presence_penalty, frequency_penalty   once, and times the count, subtracted for tokens of the answer
//   temperature         0 ends here with the largest, the lowest id on ties; else divided by it
//   top_k, typical_p, top_p, min_p        see candidates.h
//   draw                by a counter-based random number: the same whatever else was drawn before
// Masks, bias, penalties and temperature come first, as in vLLM and transformers, so that filters judge the
// distribution that is drawn from (llama.cpp applies the temperature last); the order of the filters is llama.cpp's.
// The penalties are those of CTRL (Keskar et al. 2019, arXiv:1909.05858) and of OpenAI's API.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/table.h"
#include "sampling/candidates.h"
#include "sampling/trace.h"

namespace nextoken::sampling {

struct SamplerSettings {
  double temperature = 0; // below GREEDY_BELOW counts as 0
  int64_t top_k = 0;      // 0 is off
  double top_p = 1, min_p = 0, typical_p = 1;
  double repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;
  bool only_allowed = false;
  std::vector<int32_t> allowed_token_ids; // when only_allowed
  uint64_t seed = 0, sequence = 0;        // `sequence` tells apart answers that share a seed
  bool want_logprob = false;
  int64_t n_top = 0; // candidates to report; needs want_logprob
};

/// Softmax at this temperature gives logits that differ by 2e-4 a ratio of e^20; vLLM draws the line here too.
constexpr double GREEDY_BELOW = 1e-5;

struct Candidate {
  int32_t id;
  float logit, logprob;
};

/// `logprob` is the log-softmax of the model's own logits, before all stages; NaN unless asked for.
/// `top` are the best of those logits, best first.
struct Pick {
  int32_t id;
  float logprob;
  std::vector<Candidate> top;
};

/// Thread-safe.
class Sampler {
 public:
  /// Ids from n_decodable up have logits but no text, and are never chosen.
  /// Throws std::invalid_argument, naming the setting, for values no caller should let through.
  Sampler(const KernelTable& kernels, SamplerSettings settings, int64_t vocab_size, int64_t n_decodable);

  /// Tell the penalties which tokens are there. Throws std::invalid_argument for an id outside the vocabulary.
  void observe_prompt(const int32_t* ids, int64_t n);
  void observe(const int32_t* ids, int64_t n); // tokens of the answer

  /// The token for `position` of the sequence. Changes nothing that a later call could notice.
  /// `raw` are the model's own logits where a caller has changed `logits` [n], else null.
  /// Throws NumericalError for NaN or +inf, and where no candidate is above -inf.
  Pick choose(const float* logits, int64_t n, int64_t position, const float* raw = nullptr, Trace* trace = nullptr);

  /// How much of a row on a device is enough, and the same choice from that.
  Thinning thinning() const;
  Pick choose(const ThinRow& row, int64_t position);

  const SamplerSettings& settings() const { return s_; }
  int64_t vocab_size() const { return vocab_size_; }

 private:
  bool penalises_repetition() const { return s_.repetition_penalty != 1; }
  bool penalises_answer() const { return s_.presence_penalty != 0 || s_.frequency_penalty != 0; }
  void record(const int32_t* ids, int64_t n, int64_t in_answer);
  const float* adjust(const float* logits, Trace* trace);
  bool takes_row_as_it_is() const;
  int32_t draw(int64_t position, Trace* trace);
  void report(const float* raw, Pick& pick) const;

  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>(); // one call at a time; so that it can move
  const KernelTable& k_;
  SamplerSettings s_;
  int64_t vocab_size_, n_decodable_;
  std::unordered_map<int32_t, int64_t> seen_; // id -> times in the answer; in any order: each has its own logit
  std::vector<float> adjusted_;               // empty until a setting needs a copy of the logits
  Candidates candidates_;
};

/// For each row t of logits [rows, n_vocab]: the log-softmax at targets[t] (none if targets is null), and the n_top
/// best below n_decodable, best first, into ids and logprobs [rows, n_top]; places left over get id -1 and -inf. Throws
/// as Sampler::choose.
void log_softmax_top(const KernelTable& kernels, const float* logits, int64_t rows, int64_t n_vocab,
                     int64_t n_decodable, const int32_t* targets, int64_t n_top, float* target_logprobs, int32_t* ids,
                     float* logprobs);

} // namespace nextoken::sampling
