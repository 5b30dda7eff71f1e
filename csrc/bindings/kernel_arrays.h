// What the bindings of kernels share: arrays, and checks of their shapes.
#pragma once
#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "kernels/table.h"

namespace nextoken::bindings {

namespace py = pybind11;

using Floats = py::array_t<float, py::array::c_style>;
using Indices = py::array_t<int64_t, py::array::c_style>;

inline const KernelTable& table_of(const py::object& isa) {
  if (!isa.is_none() && !py::isinstance<py::str>(isa)) throw py::type_error("isa: expected a str or None");
  return isa.is_none() ? kernel_table() : kernel_table(isa.cast<std::string>().c_str());
}

inline Floats like(const Floats& x) { return Floats(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim())); }

inline void require_axes(const py::array& x, py::ssize_t ndim, const char* name) {
  if (x.ndim() != ndim) throw py::value_error(std::string(name) + ": needs " + std::to_string(ndim) + " axes");
}

inline void require_size(int64_t found, int64_t expected, const char* name) {
  if (found != expected)
    throw py::value_error(std::string(name) + ": has " + std::to_string(found) + ", needs " + std::to_string(expected));
}

} // namespace nextoken::bindings
