// Kernels of a card, one by one, on NumPy arrays: what the tests compare with the CPU's.
#include "kernels/cuda/ops.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/cuda/arrays.h"
#include "bindings/cuda/module.h"

namespace py = pybind11;

namespace nextoken::cuda {
namespace {

/// x [T, K] times the transposed of packed weights [N, K]
Floats matmul_arrays(const py::capsule& device, int type_number, const Bytes& panels, int64_t n_rows, int64_t k,
                     const Floats& x) {
  Card& card = card_of(device);
  Queue queue(card);
  const auto type = (WeightType)type_number;
  const int64_t n_panels = divide_up(n_rows, PANEL_ROWS);
  require(multiplies(type), "no such weight type");
  require(x.ndim() == 2 && x.shape(1) == k && k > 0, "x must be (T, K)");
  require(n_panels > 0 && panels.size() % n_panels == 0, "panels must be those of N rows");
  const int64_t rows = x.shape(0);
  if (rows == 0) return Floats(std::vector<py::ssize_t>{0, (py::ssize_t)n_rows});
  const Buffer weights = on_card(card, panels), in = on_card(card, x);
  Activated h(card, rows, k, form_of(type));
  Buffer out(&card, rows * n_rows * 4, "a product");
  convert(queue, {ConvertKernel::Of::rows, Gate::silu, in.as<float>(), nullptr, k, h.forms, nullptr}, rows);
  h.check(card);
  MatmulArgs args{};
  args.parts[0] = {weights.data(), (int64_t)panels.size() / n_panels, n_rows, 0, 0};
  args.n_parts = 1;
  args.k = k;
  args.n_tokens = rows;
  args.in = h.hidden.form(form_of(type));
  args.out = out.as<float>();
  args.out_stride = n_rows;
  matmul(queue, type, args, n_panels);
  return to_array(card, out.as<float>(), {(py::ssize_t)rows, (py::ssize_t)n_rows});
}

/// Rows `ids` of packed weights [N, K] as floats
Floats rows_arrays(const py::capsule& device, int type_number, const Bytes& panels, int64_t n_rows, int64_t k,
                   const Ids& ids) {
  Card& card = card_of(device);
  Queue queue(card);
  const int64_t n_panels = divide_up(n_rows, PANEL_ROWS), n = ids.size();
  require(multiplies((WeightType)type_number), "no such weight type");
  require(n_panels > 0 && panels.size() % n_panels == 0, "panels must be those of N rows");
  for (int64_t i = 0; i < n; ++i) require(ids.data()[i] >= 0 && ids.data()[i] < n_rows, "no such row");
  const Buffer weights = on_card(card, panels), places = on_card(card, ids);
  Buffer out(&card, n * k * 4, "rows");
  embed(queue, (WeightType)type_number,
        {weights.data(), (int64_t)panels.size() / n_panels, k, places.as<int64_t>(), false, 1.0f, out.as<float>(), k},
        n);
  return to_array(card, out.as<float>(), {(py::ssize_t)n, (py::ssize_t)k});
}

Floats norm_arrays(const py::capsule& device, bool layer, const Floats& x, const std::optional<Floats>& weight,
                   const std::optional<Floats>& bias, float eps) {
  Card& card = card_of(device);
  Queue queue(card);
  require(x.ndim() == 2 && x.shape(1) > 0, "x must be (T, N)");
  const int64_t rows = x.shape(0), n = x.shape(1);
  require(!weight || weight->size() == n, "weight must be (N,)");
  require(!bias || bias->size() == n, "bias must be (N,)");
  const Buffer in = on_card(card, x), w = weight ? on_card(card, *weight) : Buffer(),
               b = bias ? on_card(card, *bias) : Buffer(), out(&card, rows * n * 4, "a norm");
  const Buffer failed(&card, 4, "a flag");
  NormKernel::Args args{};
  args.kind = layer ? NormKind::layer : NormKind::rms;
  args.eps = eps;
  args.x = in.as<float>();
  args.x_stride = args.n = args.y_stride = n;
  args.heads = 1;
  args.weight = w.as<float>();
  args.bias = b.as<float>();
  args.y = out.as<float>();
  args.failed = failed.as<int>();
  norm(queue, args, rows);
  int is_failed = 0;
  card.download(&is_failed, failed.data(), 4);
  if (is_failed) throw NumericalError("the mean is no finite number");
  return to_array(card, out.as<float>(), {(py::ssize_t)rows, (py::ssize_t)n});
}

/// gate(a), or gate(a) * b
Floats gate_arrays(const py::capsule& device, int gate, const Floats& a, const std::optional<Floats>& b) {
  Card& card = card_of(device);
  Queue queue(card);
  require(a.ndim() == 2 && a.shape(1) > 0 && gate >= 0 && gate <= (int)Gate::clamped_silu, "a must be (T, N)");
  require(!b || b->size() == a.size(), "b must be as a");
  const int64_t rows = a.shape(0), n = a.shape(1);
  const Buffer left = on_card(card, a), right = b ? on_card(card, *b) : Buffer();
  Activated h(card, rows, n, ActivationForm::f32);
  h.forms.max_k = n; // rows one behind the other
  convert(queue,
          {b ? ConvertKernel::Of::gated : ConvertKernel::Of::gate, (Gate)gate, left.as<float>(), right.as<float>(), n,
           h.forms, nullptr},
          rows);
  return to_array(card, h.forms.x, {(py::ssize_t)rows, (py::ssize_t)n});
}

/// Heads of x [T, heads * head_dim] rotated by angles [T, n_rot / 2]
Floats rope_arrays(const py::capsule& device, bool adjacent, const Floats& cos, const Floats& sin, int64_t head_dim,
                   const Floats& x) {
  Card& card = card_of(device);
  Queue queue(card);
  require(x.ndim() == 2 && head_dim > 0 && x.shape(1) % head_dim == 0, "x must be (T, heads * head_dim)");
  require(cos.ndim() == 2 && cos.shape(0) == x.shape(0) && cos.size() == sin.size() && 2 * cos.shape(1) <= head_dim,
          "cos and sin must be (T, n_rot / 2)");
  const Buffer c = on_card(card, cos), s = on_card(card, sin), y = on_card(card, x);
  rope(queue,
       {adjacent ? RopePairs::adjacent : RopePairs::halves, c.as<float>(), s.as<float>(), cos.shape(1), cos.shape(1),
        x.shape(1) / head_dim, head_dim, y.as<float>(), x.shape(1)},
       cos.shape(1) == 0 ? 0 : x.shape(0));
  return to_array(card, y.as<float>(), {x.shape(0), x.shape(1)});
}

/// x op number for "multiply", "clamp" and "soft_cap"
Floats elementwise_arrays(const py::capsule& device, const std::string& op, const Floats& x, float number) {
  Card& card = card_of(device);
  Queue queue(card);
  using Op = ElementwiseKernel::Op;
  require(op == "multiply" || op == "clamp" || op == "soft_cap", "no such operation");
  const Op chosen = op == "multiply" ? Op::multiply : op == "clamp" ? Op::clamp : Op::soft_cap;
  const Buffer y = on_card(card, x);
  elementwise(queue, {chosen, y.as<float>(), (int64_t)x.size(), (int64_t)x.size(), nullptr, 0, number}, 1);
  return to_array(card, y.as<float>(), {x.size()});
}

/// {"fine", "best", "max", "above": [(id, logit)], "floor", "sums": [(largest, sum) of each chunk], "fetched"} a row
py::list thin_arrays(const py::capsule& device, const Floats& x, const std::vector<Thinning>& how) {
  Card& card = card_of(device);
  require(x.ndim() == 2 && x.shape(1) > 0 && x.shape(0) == (py::ssize_t)how.size(), "x must be (T, N), how T of them");
  const Buffer in = on_card(card, x);
  CudaKernels kernels(card);
  std::vector<ThinRow> rows;
  kernels.thin({in.as<float>(), x.shape(0), x.shape(1), x.shape(1)}, how, rows);
  py::list found;
  for (const ThinRow& row : rows) {
    py::list above, sums;
    for (const ScoredId& c : row.above) above.append(py::make_tuple(c.id, c.x));
    for (size_t c = 0; c < row.chunk_max.size(); ++c) sums.append(py::make_tuple(row.chunk_max[c], row.chunk_sum[c]));
    Floats fetched((py::ssize_t)row.n);
    row.fetch(0, row.n, fetched.mutable_data());
    py::dict d;
    d["fine"] = row.fine, d["best"] = row.best, d["max"] = row.max, d["above"] = above, d["floor"] = row.floor;
    d["sums"] = sums, d["fetched"] = fetched;
    found.append(d);
  }
  return found;
}

Thinning thinning(const std::string& list, int32_t n_decodable, int32_t count, float span, float inverse_temperature) {
  using List = Thinning::List;
  require(list == "nothing" || list == "count" || list == "span", "no such list");
  return {list == "nothing" ? List::nothing
          : list == "count" ? List::count
                            : List::span,
          span, inverse_temperature, count, n_decodable};
}

} // namespace

void bind_ops(py::module_& m) {
  py::class_<Thinning>(m, "Thinning")
      .def(py::init(&thinning), py::arg("list"), py::arg("n_decodable"), py::arg("count") = 0, py::arg("span") = 0.0f,
           py::arg("inverse_temperature") = 1.0f);
  m.def("thin", thin_arrays, py::arg("device"), py::arg("x"), py::arg("how"),
        "Rows of logits as a sampler asks for them.");
  m.def("matmul", matmul_arrays, py::arg("device"), py::arg("type"), py::arg("panels"), py::arg("n_rows"), py::arg("k"),
        py::arg("x"), "x (T, K) times packed weights (N, K) transposed; ArithmeticError as the CPU's.");
  m.def("rows", rows_arrays, py::arg("device"), py::arg("type"), py::arg("panels"), py::arg("n_rows"), py::arg("k"),
        py::arg("ids"), "Rows of packed weights as floats.");
  m.def("norm", norm_arrays, py::arg("device"), py::arg("layer"), py::arg("x"), py::arg("weight"), py::arg("bias"),
        py::arg("eps"));
  m.def("gate", gate_arrays, py::arg("device"), py::arg("gate"), py::arg("a"), py::arg("b"));
  m.def("rope", rope_arrays, py::arg("device"), py::arg("adjacent"), py::arg("cos"), py::arg("sin"),
        py::arg("head_dim"), py::arg("x"));
  m.def("elementwise", elementwise_arrays, py::arg("device"), py::arg("op"), py::arg("x"), py::arg("number"));
}

} // namespace nextoken::cuda
