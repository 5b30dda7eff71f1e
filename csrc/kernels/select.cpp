// Which kernels run here: the best this machine can, or the ones asked for.
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/cpu.h"
#include "base/errors.h"
#include "kernels/table.h"

namespace nextoken {
namespace {

struct Candidate {
  const KernelTable* table;
  bool runs_here;
};

struct Candidates {
  Candidate list[3];
  int count = 0;
};

// Best first.
const Candidates& candidates() {
  static const Candidates all = [] {
    Candidates c;
#if defined(__x86_64__)
    c.list[c.count++] = {&cpu::avx512::table, cpu_features().avx512};
    c.list[c.count++] = {&cpu::avx2::table, cpu_features().avx2};
#endif
    c.list[c.count++] = {&cpu::scalar::table, true};
    return c;
  }();
  return all;
}

const KernelTable& by_name(const char* name, const char* asked_by) {
  std::string known;
  for (int i = 0; i < candidates().count; ++i) {
    const Candidate& c = candidates().list[i];
    if (!c.runs_here) continue;
    if (std::strcmp(c.table->name, name) == 0) return *c.table;
    known += (known.empty() ? "" : ", ") + std::string(c.table->name);
  }
  throw UnsupportedError(std::string(asked_by) + " asks for kernels '" + name + "'; this machine runs: " + known);
}

} // namespace

const KernelTable& kernel_table(const char* name) {
  if (name) return by_name(name, "isa");
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const char* forced = std::getenv("NEXTOKEN_ISA");
    if (forced && *forced) return by_name(forced, "NEXTOKEN_ISA");
    for (int i = 0;; ++i)
      if (candidates().list[i].runs_here) return *candidates().list[i].table;
  }();
  return chosen;
}

} // namespace nextoken
