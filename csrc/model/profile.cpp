#include "model/profile.h"

#include <algorithm>

namespace nextoken {

const char* op_name(Op op) {
  static constexpr const char* names[N_OPS] = {"embed",     "norm",     "qkv",     "rope",       "latents",
                                               "attention", "attn_out", "gate_up", "activation", "down",
                                               "head",      "sampling", "rest"};
  return names[(size_t)op];
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

void Profile::Recording::lap(Op op, const OpTotals& work) {
  const Clock::time_point now = Clock::now();
  const int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_).count();
  const int64_t region_ns = pool_.region_ns(), busy_ns = pool_.busy_ns();
  // Outside regions the caller works alone.
  const int64_t worked_ns = busy_ns - busy_ns_ + ns - (region_ns - region_ns_);
  last_ = now;
  region_ns_ = region_ns;
  busy_ns_ = busy_ns;
  OpTotals& t = totals_.of(op);
  ++t.calls;
  t.ns += ns;
  t.waiting_ns += std::max<int64_t>(0, ns - worked_ns / pool_.size());
  t.bytes += work.bytes;
  t.int8_macs += work.int8_macs;
  t.float_macs += work.float_macs;
  t.bf16_macs += work.bf16_macs;
}

void Profile::Recording::finish(int64_t rows, bool decode) {
  lap(Op::rest);
  const std::lock_guard<std::mutex> lock(profile_.mutex_);
  PassTotals& sums = decode ? profile_.decode_ : profile_.prefill_;
  ++sums.passes;
  sums.rows += rows;
  for (size_t i = 0; i < N_OPS; ++i) {
    const OpTotals& t = totals_.ops[i];
    OpTotals& s = sums.ops[i];
    s.calls += t.calls;
    s.ns += t.ns;
    s.waiting_ns += t.waiting_ns;
    s.bytes += t.bytes;
    s.int8_macs += t.int8_macs;
    s.float_macs += t.float_macs;
    s.bf16_macs += t.bf16_macs;
  }
}

} // namespace nextoken
