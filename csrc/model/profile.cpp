#include "model/profile.h"

#include <algorithm>

namespace nextoken {

const char* op_name(Op op) {
  static constexpr const char* names[N_OPS] = {"embed",     "norm",     "qkv",     "rope",       "latents",
                                               "attention", "attn_out", "gate_up", "activation", "down",
                                               "head",      "sampling", "rest"};
  return names[(size_t)op];
}

void operator+=(OpTotals& to, const OpTotals& more) {
  to.calls += more.calls;
  to.ns += more.ns;
  to.waiting_ns += more.waiting_ns;
  to.bytes += more.bytes;
  to.int8_macs += more.int8_macs;
  to.float_macs += more.float_macs;
  to.bf16_macs += more.bf16_macs;
}

PassTotals Profile::decode() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return decode_;
}

PassTotals Profile::prefill() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return prefill_;
}

Profile::Recording::Recording(Profile& profile, ThreadPool& pool) : profile_(profile), pool_(pool) {
  pool_.measure(true);
  region_ns_ = pool_.region_ns();
  busy_ns_ = pool_.busy_ns();
}

Profile::Recording::~Recording() { pool_.measure(false); }

OpTotals Profile::Recording::since_last() {
  const Clock::time_point now = Clock::now();
  OpTotals t;
  t.calls = 1;
  t.ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_).count();
  const int64_t region_ns = pool_.region_ns(), busy_ns = pool_.busy_ns();
  // Outside regions the caller works alone.
  const int64_t worked_ns = busy_ns - busy_ns_ + t.ns - (region_ns - region_ns_);
  t.waiting_ns = std::max<int64_t>(0, t.ns - worked_ns / pool_.size());
  last_ = now;
  region_ns_ = region_ns;
  busy_ns_ = busy_ns;
  return t;
}

void Profile::Recording::lap(Op op, const OpTotals& work) {
  totals_.of(op) += work;
  totals_.of(op) += since_last();
}

void Profile::Recording::lap(const std::vector<DeviceLap>& laps, Op rest) {
  OpTotals left = since_last();
  left.waiting_ns = 0; // for the device, which is no thread's want of work
  for (const DeviceLap& lap : laps) {
    totals_.of(lap.op) += lap.totals;
    left.ns -= lap.totals.ns;
  }
  left.ns = std::max<int64_t>(0, left.ns);
  totals_.of(rest) += left;
}

void Profile::Recording::finish(int64_t rows, bool decode) {
  lap(Op::rest);
  const std::lock_guard<std::mutex> lock(profile_.mutex_);
  PassTotals& sums = decode ? profile_.decode_ : profile_.prefill_;
  ++sums.passes;
  sums.rows += rows;
  for (size_t i = 0; i < N_OPS; ++i) sums.ops[i] += totals_.ops[i];
}

} // namespace nextoken
