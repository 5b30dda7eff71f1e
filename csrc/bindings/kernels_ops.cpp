// nextoken._native.kernels: norm, rotation, gates and softmax on arrays.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "base/exact_math.h"
#include "base/float_environment.h"
#include "bindings.h"
#include "kernel_arrays.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

Floats rms_norm(const Floats& x, const std::optional<Floats>& weight, float eps, const py::object& isa) {
  require_axes(x, 2, "x");
  if (weight) require_size(weight->size(), x.shape(1), "weight");
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  const float *from = x.data(), *w = weight ? weight->data() : nullptr;
  float* to = y.mutable_data();
  const int64_t rows = x.shape(0), n = x.shape(1);
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  for (int64_t i = 0; i < rows; ++i) kernels.rms_norm(from + i * n, w, eps, n, to + i * n);
  return y;
}

Floats layer_norm(const Floats& x, const std::optional<Floats>& weight, const std::optional<Floats>& bias, float eps,
                  const py::object& isa) {
  require_axes(x, 2, "x");
  if (weight) require_size(weight->size(), x.shape(1), "weight");
  if (bias) require_size(bias->size(), x.shape(1), "bias");
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  const std::vector<float> ones(weight ? 0 : (size_t)x.shape(1), 1.0f);
  const float *from = x.data(), *w = weight ? weight->data() : ones.data(), *b = bias ? bias->data() : nullptr;
  float* to = y.mutable_data();
  const int64_t rows = x.shape(0), n = x.shape(1);
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  for (int64_t i = 0; i < rows; ++i) kernels.layer_norm(from + i * n, w, b, eps, n, to + i * n);
  return y;
}

Floats rope(const Floats& x, const Indices& positions, double theta, int64_t n_rot, bool adjacent,
            const py::object& isa) {
  require_axes(x, 3, "x");
  require_size(positions.size(), x.shape(0), "positions");
  if (n_rot < 0 || n_rot % 2 != 0 || n_rot > x.shape(2)) throw py::value_error("n_rot: needs an even part of head_dim");
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  const float* from = x.data();
  float* to = y.mutable_data();
  const int64_t *position = positions.data(), tokens = x.shape(0), heads = x.shape(1), head_dim = x.shape(2);
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  std::copy(from, from + tokens * heads * head_dim, to);
  std::vector<double> frequency((size_t)n_rot / 2);
  for (size_t c = 0; c < frequency.size(); ++c) frequency[c] = exact_pow(theta, -2.0 * (double)c / (double)n_rot);
  std::vector<float> cos(frequency.size()), sin(frequency.size());
  for (int64_t t = 0; t < tokens; ++t) {
    for (size_t c = 0; c < frequency.size(); ++c) {
      cos[c] = (float)exact_cos((double)position[t] * frequency[c]);
      sin[c] = (float)exact_sin((double)position[t] * frequency[c]);
    }
    for (int64_t h = 0; h < heads; ++h)
      kernels.rope(adjacent ? RopePairs::adjacent : RopePairs::halves, cos.data(), sin.data(), n_rot,
                   to + (t * heads + h) * head_dim);
  }
  return y;
}

Gate to_gate(const std::string& name) {
  constexpr const char* NAMES[] = {"silu", "gelu_tanh", "gelu", "relu", "relu_squared", "clamped_silu"};
  for (int32_t i = 0; i < 6; ++i)
    if (name == NAMES[i]) return (Gate)i;
  throw py::value_error("gate: '" + name + "' is none of silu, gelu_tanh, gelu, relu, relu_squared, clamped_silu");
}

Floats gated_activation(const std::string& gate, const Floats& a, const Floats& b, const py::object& isa) {
  const Gate function = to_gate(gate);
  require_size(b.size(), a.size(), "b");
  const KernelTable& kernels = table_of(isa);
  Floats y = like(a);
  const DefaultFloatEnvironment environment;
  kernels.gated_activation(function, a.data(), b.data(), a.size(), y.mutable_data());
  return y;
}

Floats activation(const std::string& gate, const Floats& x, const py::object& isa) {
  const Gate function = to_gate(gate);
  if (function == Gate::clamped_silu) throw py::value_error("gate: clamped_silu needs something to multiply");
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  const DefaultFloatEnvironment environment;
  kernels.activation(function, x.data(), x.size(), y.mutable_data());
  return y;
}

Floats clamp(float limit, const Floats& x, const py::object& isa) {
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  std::copy(x.data(), x.data() + x.size(), y.mutable_data());
  const DefaultFloatEnvironment environment;
  kernels.clamp(limit, y.size(), y.mutable_data());
  return y;
}

Floats soft_cap(float cap, const Floats& x, const py::object& isa) {
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  std::copy(x.data(), x.data() + x.size(), y.mutable_data());
  const DefaultFloatEnvironment environment;
  kernels.soft_cap(cap, y.size(), y.mutable_data());
  return y;
}

Floats softmax(const Floats& x, const py::object& isa) {
  require_axes(x, 2, "x");
  const KernelTable& kernels = table_of(isa);
  Floats y = like(x);
  const float* from = x.data();
  float* to = y.mutable_data();
  const int64_t rows = x.shape(0), n = x.shape(1);
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  for (int64_t i = 0; i < rows; ++i) kernels.softmax(from + i * n, n, to + i * n);
  return y;
}

py::tuple max_sum_exp(const Floats& x, const py::object& isa) {
  const DefaultFloatEnvironment environment;
  float max, sum;
  table_of(isa).max_sum_exp(x.data(), x.size(), &max, &sum);
  return py::make_tuple(max, sum);
}

int64_t argmax(const Floats& x, const py::object& isa) { return table_of(isa).argmax(x.data(), x.size()); }

} // namespace

void bind_kernels_ops(py::module_& m) {
  py::module_ k = m.attr("kernels");
  const auto isa = py::arg("isa") = py::none();
  k.def("rms_norm", rms_norm, py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("eps"), isa);
  k.def("layer_norm", layer_norm, py::arg("x").noconvert(), py::arg("weight").noconvert(), py::arg("bias").noconvert(),
        py::arg("eps"), isa);
  k.def("rope", rope, py::arg("x").noconvert(), py::arg("positions").noconvert(), py::arg("theta"), py::arg("n_rot"),
        py::arg("adjacent"), isa);
  k.def("gated_activation", gated_activation, py::arg("gate"), py::arg("a").noconvert(), py::arg("b").noconvert(), isa);
  k.def("activation", activation, py::arg("gate"), py::arg("x").noconvert(), isa);
  k.def("clamp", clamp, py::arg("limit"), py::arg("x").noconvert(), isa);
  k.def("soft_cap", soft_cap, py::arg("cap"), py::arg("x").noconvert(), isa);
  k.def("softmax", softmax, py::arg("x").noconvert(), isa);
  k.def("max_sum_exp", max_sum_exp, py::arg("x").noconvert(), isa);
  k.def("argmax", argmax, py::arg("x").noconvert(), isa);
  k.def("exact_exp", py::vectorize(exact_exp), py::arg("x"));
  k.def("exact_log", py::vectorize(exact_log), py::arg("x"));
  k.def("exact_sin", py::vectorize(exact_sin), py::arg("x"));
  k.def("exact_cos", py::vectorize(exact_cos), py::arg("x"));
  k.def("exact_tanh", py::vectorize(exact_tanh), py::arg("x"));
  k.def("exact_pow", py::vectorize(exact_pow), py::arg("x"), py::arg("y"));
}

} // namespace nextoken::bindings
