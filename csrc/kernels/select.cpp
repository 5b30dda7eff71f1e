// Which kernels run here: the best this machine can, or the ones asked for.
#include "kernels/select.h"

#include <cstdlib>
#include <cstring>

#include "base/cpu.h"
#include "base/errors.h"

namespace nextoken {
namespace {

struct Candidate {
  const KernelTable* table;
  bool runs_here;
  const char* needs;
};

#if defined(__x86_64__)
KernelTable with(KernelTable table, const KernelTable& changes) {
  table.name = changes.name;
  table.matmul = changes.matmul;
  table.round_bf16 = changes.round_bf16;
  return table;
}
#endif

// Best first.
const std::vector<Candidate>& candidates() {
#if defined(__x86_64__)
  static const KernelTable avx512bf16 = with(cpu::avx512::table, cpu::avx512bf16::changes);
  static const KernelTable amx = with(avx512bf16, cpu::amx::changes);
#endif
  static const std::vector<Candidate> all = {
#if defined(__x86_64__)
      {&amx, cpu_features().amx, "AMX-INT8, AMX-BF16 and what 'avx512bf16' needs"},
      {&avx512bf16, cpu_features().avx512bf16, "AVX-512 F, BW, VL, DQ, VNNI and BF16"},
      {&cpu::avx512::table, cpu_features().avx512, "AVX-512 F, BW, VL, DQ and VNNI"},
      {&cpu::avxvnni::table, cpu_features().avxvnni, "AVX-VNNI, AVX2, FMA and F16C"},
      {&cpu::avx2::table, cpu_features().avx2, "AVX2, FMA and F16C"},
#elif defined(__aarch64__)
      {&cpu::i8mm::table, cpu_features().i8mm, "the byte products (i8mm) of ARMv8.6"},
      {&cpu::dotprod::table, cpu_features().dotprod, "the dot products of ARMv8.2"},
      {&cpu::neon::table, true, ""},
#endif
      {&cpu::scalar::table, true, ""},
  };
  return all;
}

const KernelTable& by_name(const char* name, const char* asked_by) {
  std::string missing;
  for (const Candidate& c : candidates()) {
    if (std::strcmp(c.table->name, name) != 0) continue;
    if (c.runs_here) return *c.table;
    missing = std::string(", which need ") + c.needs + ", missing here";
  }
  std::string known;
  for (const std::string& n : kernel_names()) known += (known.empty() ? "" : ", ") + n;
  throw UnsupportedError(std::string(asked_by) + " asks for kernels '" + name + "'" + missing +
                         "; this machine runs: " + known);
}

} // namespace

const KernelTable& kernel_table(const char* name) {
  if (name) return by_name(name, "isa");
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const char* forced = std::getenv("NEXTOKEN_ISA");
    if (forced && *forced) return by_name(forced, "NEXTOKEN_ISA");
    return by_name(kernel_names().front().c_str(), "this machine");
  }();
  return chosen;
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Candidate& c : candidates())
    if (c.runs_here) names.push_back(c.table->name);
  return names;
}

} // namespace nextoken
