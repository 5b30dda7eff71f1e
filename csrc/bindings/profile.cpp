// nextoken._native.Profile, and the limits of the machine to hold it against.
#include "model/profile.h"

#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "bindings/python_poll.h"
#include "kernels/limits.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

py::dict to_dict(const PassTotals& totals) {
  py::list ops;
  for (size_t i = 0; i < totals.ops.size(); ++i) {
    const OpTotals& t = totals.ops[i];
    if (t.calls == 0) continue;
    ops.append(py::make_tuple(op_name((Op)i), t.calls, (double)t.ns * 1e-9, (double)t.waiting_ns * 1e-9, t.bytes,
                              t.int8_macs, t.float_macs, t.bf16_macs));
  }
  py::dict result;
  result["passes"] = totals.passes;
  result["rows"] = totals.rows;
  result["ops"] = ops;
  return result;
}

py::tuple limits(int n_threads, const std::optional<std::string>& isa) {
  if (n_threads < 1 || n_threads > 1024) {
    throw std::invalid_argument("n_threads must be from 1 to 1024, not " + std::to_string(n_threads));
  }
  MachineLimits l{};
  {
    const KernelTable& kernels = kernel_table(isa ? isa->c_str() : nullptr);
    PythonPoll poll(py::none(), nullptr);
    const py::gil_scoped_release released;
    ThreadPool pool(n_threads);
    l = measure_limits(pool, kernels, poll);
  }
  return py::make_tuple(l.read_bytes_per_s, l.int8_macs_per_s, l.float_macs_per_s, l.bf16_macs_per_s);
}

} // namespace

void bind_profile(py::module_& m) {
  const char* about =
      "{'passes', 'rows', 'ops': [(name, calls, seconds, waiting seconds, bytes, int8 macs, float macs, bf16 macs)]}";
  py::class_<Profile>(m, "Profile", "Where the time of the passes goes that it is given to.")
      .def(py::init<>())
      .def(
          "prefill", [](const Profile& p) { return to_dict(p.prefill()); }, about)
      .def("decode", [](const Profile& p) { return to_dict(p.decode()); }, about);
  m.def("machine_limits", &limits, py::arg("n_threads"), py::arg("isa") = py::none(),
        "Bytes read, int8, float and bf16 multiply-adds a second that so many threads reach at best. Takes half a "
        "second.");
}

} // namespace nextoken::bindings
