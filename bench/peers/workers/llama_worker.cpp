// llama.cpp as a worker: loads a model once, then runs a row for each line of stdin and answers with its seconds.
//   llama_worker MODEL THREADS [STATES]        reads "prefill 512 0 1", "decode 128 2048 1", "decode 32 0 8"
//   llama_worker MODEL THREADS --first N       N ids, one token; prints seconds from the start, peak and base KiB
// A line is: what, tokens, depth, sequences. Sequences are ragged: the i-th of n starts after 32 * (i + 1) ids.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "llama.h"

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

constexpr int RAGGED_STEP = 32;

class Worker {
 public:
  Worker(const char* path, int threads) : threads_(threads) {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    model_ = llama_model_load_from_file(path, llama_model_default_params());
    if (!model_) throw std::runtime_error("the model does not load");
    n_vocab_ = llama_vocab_n_tokens(llama_model_get_vocab(model_));
  }

  ~Worker() {
    if (context_) llama_free(context_);
    llama_model_free(model_);
  }

  // One context a shape of work, as a user of that shape would make it; its keys and values stay for the next sample.
  void open(int depth, int tokens, int sequences) {
    if (context_ && sequences == sequences_ && depth == depth_ && tokens <= room_) return;
    if (context_) llama_free(context_);
    const int longest = (sequences > 1 ? RAGGED_STEP * sequences : depth) + tokens;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = (longest + 255) / 256 * 256 * sequences;
    params.n_seq_max = sequences;
    params.n_threads = params.n_threads_batch = threads_;
    context_ = llama_init_from_model(model_, params);
    if (!context_) throw std::runtime_error("no context of " + std::to_string(params.n_ctx));
    sequences_ = sequences, depth_ = depth, room_ = tokens, filled_ = false;
  }

  int start_of(int sequence) const { return sequences_ > 1 ? RAGGED_STEP * (sequence + 1) : depth_; }

  void fill(const std::string& states) {
    if (filled_) return;
    const std::string file = states + "-" + std::to_string(depth_);
    size_t n = 0;
    std::vector<llama_token> ids(depth_ + 1);
    const bool stored = !states.empty() && sequences_ == 1 && depth_ > 0;
    if (stored && llama_state_seq_load_file(context_, file.c_str(), 0, ids.data(), ids.size(), &n) &&
        (int)n == depth_) {
      filled_ = true;
      return;
    }
    for (int s = 0; s < sequences_; ++s) {
      std::vector<llama_token> prompt;
      for (int i = 0; i < start_of(s); ++i) prompt.push_back(id(i));
      for (int at = 0; at < (int)prompt.size(); at += 512) pass(prompt, at, s);
      if (stored) llama_state_seq_save_file(context_, file.c_str(), 0, prompt.data(), prompt.size());
    }
    filled_ = true;
  }

  double run(const std::string& what, int tokens, int depth, int sequences, const std::string& states) {
    open(depth, tokens, sequences);
    fill(states);
    for (int s = 0; s < sequences_; ++s) llama_memory_seq_rm(llama_get_memory(context_), s, start_of(s), -1);
    const Clock::time_point start = Clock::now();
    if (what == "prefill") {
      std::vector<llama_token> ids;
      for (int i = 0; i < tokens; ++i) ids.push_back(id(i));
      decode(llama_batch_get_one(ids.data(), tokens));
    } else {
      llama_batch batch = llama_batch_init(sequences_, 0, 1);
      for (int i = 0; i < tokens; ++i) {
        batch.n_tokens = 0;
        for (int s = 0; s < sequences_; ++s) add(batch, id(i + 7 * s), start_of(s) + i, s, true);
        decode(batch);
      }
      llama_batch_free(batch);
    }
    return since(start);
  }

  int best(int n_ids) {
    open(0, n_ids, 1);
    std::vector<llama_token> ids;
    for (int i = 0; i < n_ids; ++i) ids.push_back(id(i));
    decode(llama_batch_get_one(ids.data(), n_ids));
    const float* logits = llama_get_logits_ith(context_, -1);
    int top = 0;
    for (int i = 1; i < n_vocab_; ++i)
      if (logits[i] > logits[top]) top = i;
    return top;
  }

 private:
  llama_token id(int i) const { return (llama_token)((1000003LL * (i + 1)) % n_vocab_); }

  static void add(llama_batch& batch, llama_token token, int position, int sequence, bool logits) {
    const int i = batch.n_tokens++;
    batch.token[i] = token, batch.pos[i] = position, batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence, batch.logits[i] = logits;
  }

  void pass(const std::vector<llama_token>& ids, int at, int sequence) {
    llama_batch batch = llama_batch_init(512, 0, 1);
    batch.n_tokens = 0;
    for (int i = at; i < (int)ids.size() && i < at + 512; ++i) add(batch, ids[i], i, sequence, false);
    batch.logits[batch.n_tokens - 1] = true;
    decode(batch);
    llama_batch_free(batch);
  }

  void decode(llama_batch batch) {
    if (llama_decode(context_, batch) != 0) throw std::runtime_error("llama_decode failed");
    llama_synchronize(context_);
  }

  int threads_, n_vocab_ = 0, sequences_ = 0, depth_ = 0, room_ = 0;
  bool filled_ = false;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
};

} // namespace

int main(int argc, char** argv) try {
  const Clock::time_point start = Clock::now();
  const long base = peak_kib();
  const std::string states = argc > 3 ? argv[3] : "";
  Worker worker(argv[1], std::atoi(argv[2]));
  if (states == "--first") {
    worker.best(std::atoi(argv[4]));
    std::printf("%.6f %ld %ld\n", since(start), peak_kib(), base);
    return 0;
  }
  worker.run("prefill", 64, 0, 1, ""); // warm
  std::printf("ready\n"), std::fflush(stdout);
  std::string what;
  int tokens, depth, sequences;
  while (std::cin >> what >> tokens >> depth >> sequences)
    std::printf("%.6f\n", worker.run(what, tokens, depth, sequences, states)), std::fflush(stdout);
} catch (const std::exception& error) {
  std::printf("error %s\n", error.what());
  return 1;
}
