#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "sampling/philox.h"
#include "sampling/scan.h"

namespace nextoken::sampling {
namespace {

constexpr float INF = std::numeric_limits<float>::infinity();

void need(bool fine, const char* text) {
  if (!fine) throw std::invalid_argument(text);
}

void need_id(int64_t id, int64_t vocab_size, const char* name) {
  if (id < 0 || id >= vocab_size)
    throw std::invalid_argument(std::string(name) + ": token id " + std::to_string(id) +
                                " is not in the vocabulary of " + std::to_string(vocab_size));
}

void check(const SamplerSettings& s, int64_t vocab_size, int64_t n_decodable) {
  need(vocab_size > 0 && vocab_size <= std::numeric_limits<int32_t>::max(), "vocab_size must be from 1 to 2^31 - 1");
  need(n_decodable > 0 && n_decodable <= vocab_size, "n_decodable must be from 1 to vocab_size");
  need(s.temperature >= 0 && std::isfinite(s.temperature), "temperature must be finite and not negative");
  need(s.top_k >= 0, "top_k must not be negative");
  need(s.top_p > 0 && s.top_p <= 1, "top_p must be above 0 and at most 1");
  need(s.min_p >= 0 && s.min_p <= 1, "min_p must be from 0 to 1");
  need(s.typical_p >= 0 && s.typical_p <= 1, "typical_p must be from 0 to 1");
  need(s.repetition_penalty > 0 && std::isfinite(s.repetition_penalty),
       "repetition_penalty must be finite and above 0");
  need(std::isfinite(s.presence_penalty), "presence_penalty must be finite");
  need(std::isfinite(s.frequency_penalty), "frequency_penalty must be finite");
  need(s.n_top >= 0 && (s.n_top == 0 || s.want_logprob), "n_top must not be negative, and needs want_logprob");
  for (const auto& [id, bias] : s.logit_bias) {
    need_id(id, vocab_size, "logit_bias");
    need(std::isfinite(bias), "logit_bias must be finite");
  }
  for (int32_t id : s.allowed_token_ids) need_id(id, vocab_size, "allowed_token_ids");
}

/// A finite logit stays finite, -inf stays -inf.
float rounded(double x) {
  constexpr double largest = std::numeric_limits<float>::max();
  return x == -double(INF) ? -INF : float(std::clamp(x, -largest, largest));
}

} // namespace

Sampler::Sampler(const KernelTable& kernels, SamplerSettings settings, int64_t vocab_size, int64_t n_decodable)
    : k_(kernels), s_(std::move(settings)), vocab_size_(vocab_size), n_decodable_(n_decodable), candidates_(kernels) {
  check(s_, vocab_size, n_decodable);
}

void Sampler::record(const int32_t* ids, int64_t n, int64_t in_answer) {
  for (int64_t i = 0; i < n; ++i) need_id(ids[i], vocab_size_, "observe");
  const std::lock_guard<std::mutex> lock(*mutex_);
  if (!penalises_repetition() && !penalises_answer()) return;
  for (int64_t i = 0; i < n; ++i) seen_[ids[i]] += in_answer;
}

void Sampler::observe_prompt(const int32_t* ids, int64_t n) { record(ids, n, 0); }
void Sampler::observe(const int32_t* ids, int64_t n) { record(ids, n, 1); }

Pick Sampler::choose(const float* logits, int64_t n, int64_t position, const float* raw, Trace* trace) {
  if (n != vocab_size_)
    throw std::invalid_argument("logits: expected " + std::to_string(vocab_size_) + " of them, got " +
                                std::to_string(n));
  need(position >= 0, "position must not be negative");
  check_numbers(logits, n);
  if (raw) check_numbers(raw, n);

  const std::lock_guard<std::mutex> lock(*mutex_);
  if (trace) trace->add_logits("logits", logits, n);
  const float* x = adjust(logits, trace);
  const int32_t likeliest = best(k_, x, n_decodable_);
  Pick pick{likeliest, std::numeric_limits<float>::quiet_NaN(), {}};
  if (s_.temperature >= GREEDY_BELOW) {
    candidates_.reset(x, n_decodable_, x[likeliest], s_.temperature);
    pick.id = draw(position, trace);
  } else if (trace) {
    trace->add_choice("greedy", likeliest);
  }
  if (s_.want_logprob) report(raw ? raw : logits, pick);
  return pick;
}

bool Sampler::takes_row_as_it_is() const { return !s_.only_allowed && s_.logit_bias.empty() && seen_.empty(); }

Thinning Sampler::thinning() const {
  const std::lock_guard<std::mutex> lock(*mutex_);
  Thinning how;
  how.n_decodable = int32_t(n_decodable_);
  if (!takes_row_as_it_is() || s_.want_logprob) return how;
  how.list = Thinning::List::nothing;
  if (s_.temperature < GREEDY_BELOW) return how;
  how.inverse_temperature = Candidates::inverse(s_.temperature);
  if (s_.top_k > 0 && s_.top_k < n_decodable_) {
    how.list = s_.top_k <= MOST_LISTED ? Thinning::List::count : Thinning::List::whole;
    how.count = int32_t(std::min(s_.top_k, MOST_LISTED));
  } else if (s_.typical_p < 1) {
    how.list = Thinning::List::whole;
  } else {
    how.list = Thinning::List::span;
    if (s_.top_p < 1) {
      how.span = Candidates::span_of_top_p(how.inverse_temperature);
    } else if (s_.min_p > 0) {
      how.span = Candidates::span_of_min_p(s_.min_p, how.inverse_temperature);
    }
  }
  return how;
}

Pick Sampler::choose(const ThinRow& row, int64_t position) {
  // What is wrong with a row is told as ever, by who reads all of it.
  if (thinning().list == Thinning::List::whole || !row.fine || row.best < 0) {
    std::vector<float> logits(size_t(row.n));
    row.fetch(0, row.n, logits.data());
    return choose(logits.data(), row.n, position);
  }
  const std::lock_guard<std::mutex> lock(*mutex_);
  Pick pick{row.best, std::numeric_limits<float>::quiet_NaN(), {}};
  if (s_.temperature < GREEDY_BELOW) return pick;
  candidates_.reset(row, n_decodable_, s_.temperature);
  pick.id = draw(position, nullptr);
  return pick;
}

/// Everything before the temperature. Returns `logits` itself where nothing changes them.
const float* Sampler::adjust(const float* logits, Trace* trace) {
  const auto note = [&](const char* name) {
    if (trace) trace->add_logits(name, adjusted_.data(), vocab_size_);
  };
  const bool masks = trace && n_decodable_ < vocab_size_; // else the later stages just do not look there
  if (!masks && takes_row_as_it_is()) return logits;

  adjusted_.assign(logits, logits + n_decodable_);
  adjusted_.resize(size_t(vocab_size_), -INF);
  if (masks) note("undecodable");
  if (s_.only_allowed) {
    std::fill(adjusted_.begin(), adjusted_.end(), -INF);
    for (int32_t id : s_.allowed_token_ids)
      if (id < n_decodable_) adjusted_[size_t(id)] = logits[id];
    note("allowed_token_ids");
  }
  if (!s_.logit_bias.empty()) {
    for (const auto& [id, bias] : s_.logit_bias) adjusted_[size_t(id)] = rounded(double(adjusted_[size_t(id)]) + bias);
    note("logit_bias");
  }
  if (penalises_repetition() && !seen_.empty()) {
    for (const auto& entry : seen_) {
      float& x = adjusted_[size_t(entry.first)];
      x = rounded(x > 0 ? x / s_.repetition_penalty : x * s_.repetition_penalty);
    }
    note("repetition_penalty");
  }
  if (penalises_answer() && !seen_.empty()) {
    for (const auto& [id, count] : seen_) {
      float& x = adjusted_[size_t(id)];
      if (count > 0) x = rounded(x - (s_.presence_penalty + s_.frequency_penalty * double(count)));
    }
    note("presence_penalty, frequency_penalty");
  }
  return adjusted_.data();
}

/// Of the candidates, which have their row.
int32_t Sampler::draw(int64_t position, Trace* trace) {
  const auto note = [&](const char* name) {
    if (!trace) return;
    std::vector<double> after;
    candidates_.log_probabilities(after);
    after.resize(size_t(vocab_size_), -double(INF));
    trace->add(name, std::move(after));
  };
  if (s_.temperature != 1) note("temperature");
  if (s_.top_k > 0 && s_.top_k < n_decodable_) {
    candidates_.top_k(s_.top_k);
    note("top_k");
  }
  if (s_.typical_p < 1) {
    candidates_.typical_p(s_.typical_p);
    note("typical_p");
  }
  if (s_.top_p < 1) {
    candidates_.top_p(s_.top_p);
    note("top_p");
  }
  if (s_.min_p > 0) {
    candidates_.min_p(s_.min_p);
    note("min_p");
  }
  const int32_t id = candidates_.draw(uniform(s_.seed, s_.sequence, uint64_t(position)));
  if (trace) trace->add_choice("draw", id);
  return id;
}

void Sampler::report(const float* raw, Pick& pick) const {
  const double total = log_sum_exp(k_, raw, vocab_size_);
  const auto logprob = [&](int32_t id) { return float(double(raw[id]) - total); };
  pick.logprob = logprob(pick.id);
  for (const Scored& c : best_first(raw, n_decodable_, s_.n_top)) pick.top.push_back({c.id, c.x, logprob(c.id)});
}

void log_softmax_top(const KernelTable& kernels, const float* logits, int64_t rows, int64_t n_vocab,
                     int64_t n_decodable, const int32_t* targets, int64_t n_top, float* target_logprobs, int32_t* ids,
                     float* logprobs) {
  need(n_vocab > 0 && n_decodable > 0 && n_decodable <= n_vocab, "n_decodable must be from 1 to the width of logits");
  need(n_top >= 0, "n must not be negative");
  for (int64_t t = 0; targets && t < rows; ++t) need_id(targets[t], n_vocab, "targets");
  for (int64_t t = 0; t < rows; ++t) {
    const float* x = logits + t * n_vocab;
    check_numbers(x, n_vocab);
    best(kernels, x, n_vocab);
    const double total = log_sum_exp(kernels, x, n_vocab);
    if (targets) target_logprobs[t] = float(double(x[targets[t]]) - total);
    std::fill_n(ids + t * n_top, n_top, -1);
    std::fill_n(logprobs + t * n_top, n_top, -INF);
    int64_t place = t * n_top;
    for (const Scored& c : best_first(x, n_decodable, n_top)) {
      ids[place] = c.id;
      logprobs[place++] = float(double(c.x) - total);
    }
  }
}

} // namespace nextoken::sampling
