// Where the time of a pass goes, op by op. A pass that is given no Profile pays a test of a null pointer here and
// there.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/thread_pool.h"

namespace nextoken {

/// What a pass is made of, in order. `norm` quantises too, `latents` are matrices of single heads before and after
/// attention to latents, and `rest` is what belongs to no other.
enum class Op { embed, norm, qkv, rope, latents, attention, attn_out, gate_up, activation, down, head, sampling, rest };
constexpr int N_OPS = 13;
const char* op_name(Op op);

struct OpTotals {
  int64_t calls = 0;
  int64_t ns = 0;         // on the clock
  int64_t waiting_ns = 0; // of it, what a thread spent without work, on average over the threads
  int64_t bytes = 0;      // of weights, or of keys and values, each counted once a call
  int64_t int8_macs = 0, float_macs = 0, bf16_macs = 0;
};

void operator+=(OpTotals& to, const OpTotals& more);

/// A call on a device, whose clock told its time.
struct DeviceLap {
  Op op;
  OpTotals totals;
};

struct PassTotals {
  int64_t passes = 0, rows = 0;
  std::array<OpTotals, N_OPS> ops{};

  OpTotals& of(Op op) { return ops[(size_t)op]; }
};

/// Sums over the passes it was given to. Thread-safe.
class Profile {
 public:
  /// Passes of one token a sequence.
  PassTotals decode() const;
  /// All others.
  PassTotals prefill() const;

  /// One pass on its way; on an exception it is left out of the sums.
  class Recording {
   public:
    Recording(Profile& profile, ThreadPool& pool);
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    /// What has passed since the last lap was `op`.
    void lap(Op op, const OpTotals& work = {});
    /// What has passed since the last lap was `laps`, and the rest of it `rest`.
    void lap(const std::vector<DeviceLap>& laps, Op rest);
    void finish(int64_t rows, bool decode);

   private:
    OpTotals since_last();

    using Clock = std::chrono::steady_clock;
    Profile& profile_;
    ThreadPool& pool_;
    PassTotals totals_;
    Clock::time_point last_ = Clock::now();
    int64_t region_ns_, busy_ns_; // of the pool, at the last lap
  };

 private:
  mutable std::mutex mutex_;
  PassTotals prefill_, decode_;
};

} // namespace nextoken
