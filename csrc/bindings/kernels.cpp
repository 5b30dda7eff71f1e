// nextoken._native.kernels: matmul, and weights to and from the formats of files.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cctype>
#include <cstring>
#include <string>

#include "base/float_environment.h"
#include "bindings.h"
#include "kernel_arrays.h"
#include "kernels/multiply.h"
#include "kernels/select.h"
#include "quant/pack.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

using Bytes = py::array_t<uint8_t, py::array::c_style>;

std::string lower_name(WeightType type) {
  std::string name = quant::type_info(type).name;
  for (char& c : name) c = (char)std::tolower((unsigned char)c);
  return name;
}

WeightType type_of(const std::string& name) {
  std::string known;
  for (const WeightType type : quant::weight_types()) {
    if (lower_name(type) == name) return type;
    known += (known.empty() ? "" : ", ") + lower_name(type);
  }
  throw py::value_error("weight_type: '" + name + "' is none of " + known);
}

py::array_t<float> uninitialized(int64_t rows, int64_t cols) { return py::array_t<float>({rows, cols}); }

OwnedMatrix pack(const Bytes& bytes, const std::string& type_name, int64_t n_rows, int64_t k) {
  const WeightType type = type_of(type_name);
  const quant::TypeInfo& info = quant::type_info(type);
  if (n_rows < 0 || k < 0) throw py::value_error("shape: negative");
  if (k % info.block_size != 0)
    throw py::value_error("shape: rows of " + std::to_string(k) + " elements are no whole blocks of " +
                          std::to_string(info.block_size));
  const int64_t row_bytes = k / info.block_size * info.block_bytes;
  if (n_rows > 0 && row_bytes > INT64_MAX / n_rows) throw py::value_error("shape: too large");
  if (bytes.size() != n_rows * row_bytes)
    throw py::value_error("weights: " + std::to_string(bytes.size()) + " bytes, the shape needs " +
                          std::to_string(n_rows * row_bytes));
  const uint8_t* data = bytes.data();
  py::gil_scoped_release release;
  return pack_matrix(type, data, n_rows, k);
}

py::array_t<float> matmul(const Floats& x, const OwnedMatrix& weights, const py::object& isa, int64_t panel_step,
                          int64_t token_step) {
  const Matrix& m = weights.matrix;
  if (x.ndim() != 2 || x.shape(1) != m.k) throw py::value_error("x: needs shape (T, " + std::to_string(m.k) + ")");
  if (panel_step < 1 || token_step < 1) throw py::value_error("panel_step, token_step: need at least 1");
  const KernelTable& kernels = table_of(isa);
  py::array_t<float> out = uninitialized(x.shape(0), m.n_rows);
  const Rows<const float> in{x.data(), x.shape(0), m.k, m.k};
  const Rows<float> result{out.mutable_data(), x.shape(0), m.n_rows, m.n_rows};
  py::gil_scoped_release release;
  multiply(kernels, m, in, result, panel_step, token_step);
  return out;
}

py::array_t<float> unpack_rows(const OwnedMatrix& weights, const py::array_t<int64_t, py::array::c_style>& rows,
                               const py::object& isa) {
  const Matrix& m = weights.matrix;
  for (py::ssize_t i = 0; i < rows.size(); ++i)
    if (rows.data()[i] < 0 || rows.data()[i] >= m.n_rows) throw py::index_error("rows: outside the matrix");
  const KernelTable& kernels = table_of(isa);
  py::array_t<float> out = uninitialized(rows.size(), m.k);
  const int64_t* index = rows.data();
  const int64_t n = rows.size();
  float* to = out.mutable_data();
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  for (int64_t i = 0; i < n; ++i) kernels.unpack_row(m.type, m.panels, m.panel_bytes, index[i], m.k, to + i * m.k);
  return out;
}

py::array_t<uint8_t> quantize(const Floats& x, const std::string& type_name) {
  const WeightType type = type_of(type_name);
  const quant::TypeInfo& info = quant::type_info(type);
  if (!quant::can_quantize(type)) throw py::value_error("weight_type: '" + type_name + "' is read, not written");
  if (x.size() % info.block_size != 0)
    throw py::value_error("array: " + std::to_string(x.size()) + " elements are no whole blocks of " +
                          std::to_string(info.block_size));
  py::array_t<uint8_t> out(x.size() / info.block_size * info.block_bytes);
  const float* from = x.data();
  const int64_t n = x.size();
  uint8_t* to = out.mutable_data();
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  quant::quantize(type, from, n, to);
  return out;
}

py::array_t<float> dequantize(const Bytes& bytes, const std::string& type_name) {
  const WeightType type = type_of(type_name);
  const quant::TypeInfo& info = quant::type_info(type);
  if (bytes.size() % info.block_bytes != 0)
    throw py::value_error("data: " + std::to_string(bytes.size()) + " bytes are no whole blocks of " +
                          std::to_string(info.block_bytes));
  const int64_t n = bytes.size() / info.block_bytes * info.block_size;
  py::array_t<float> out(n);
  const uint8_t* from = bytes.data();
  float* to = out.mutable_data();
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  quant::dequantize(type, from, n, to);
  return out;
}

// {name: (elements, bytes) of a block}
py::dict weight_types() {
  py::dict types;
  for (const WeightType type : quant::weight_types()) {
    const quant::TypeInfo& info = quant::type_info(type);
    types[py::str(lower_name(type))] = py::make_tuple(info.block_size, info.block_bytes);
  }
  return types;
}

int64_t packed_bytes(int32_t type, int64_t n_rows, int64_t k) {
  return (n_rows + PANEL_ROWS - 1) / PANEL_ROWS * quant::panel_bytes((WeightType)type, k);
}

} // namespace

void bind_kernels(py::module_& m) {
  py::module_ k = m.def_submodule("kernels", "Kernels on arrays; nextoken.kernels checks the arguments.");
  py::class_<OwnedMatrix>(k, "PackedMatrix", "Weights in the layout the kernels read.")
      .def_property_readonly("type", [](const OwnedMatrix& w) { return lower_name(w.matrix.type); })
      .def_property_readonly("shape", [](const OwnedMatrix& w) { return py::make_tuple(w.matrix.n_rows, w.matrix.k); })
      .def_property_readonly("nbytes", [](const OwnedMatrix& w) { return w.matrix.bytes(); })
      .def(
          "panels",
          [](const OwnedMatrix& w) { return py::array_t<uint8_t>((py::ssize_t)w.matrix.bytes(), w.matrix.panels); },
          "A copy of the packed bytes.");
  k.def("isas", kernel_names, "Instruction sets this machine runs, best first.");
  k.def("weight_types", weight_types);
  k.def("packed_bytes", packed_bytes, py::arg("type"), py::arg("n_rows"), py::arg("k"),
        "Bytes in memory of a matrix of a type by its number in GGUF.");
  k.def("pack", pack, py::arg("weights").noconvert(), py::arg("weight_type"), py::arg("n_rows"), py::arg("k"));
  k.def("matmul", matmul, py::arg("x").noconvert(), py::arg("weights"), py::arg("isa") = py::none(),
        py::arg("panel_step") = INT64_MAX / 2, py::arg("token_step") = INT64_MAX / 2);
  k.def("unpack_rows", unpack_rows, py::arg("weights"), py::arg("rows").noconvert(), py::arg("isa") = py::none());
  k.def("quantize", quantize, py::arg("array").noconvert(), py::arg("weight_type"));
  k.def("dequantize", dequantize, py::arg("data").noconvert(), py::arg("weight_type"));
}

} // namespace nextoken::bindings
