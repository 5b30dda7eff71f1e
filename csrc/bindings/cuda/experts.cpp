// What mixtures of experts take on a card, on NumPy arrays.
#include <pybind11/stl.h>

#include <array>
#include <optional>

#include "bindings/cuda/arrays.h"
#include "bindings/cuda/module.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace py = pybind11;

namespace nextoken::cuda {
namespace {

using Int32s = py::array_t<int32_t, py::array::c_style>;

template <class T>
std::vector<T> to_vector(Card& card, const Buffer& from, int64_t n) {
  std::vector<T> values((size_t)n);
  if (n > 0) card.download(values.data(), from.data(), n * (int64_t)sizeof(T));
  card.check();
  return values;
}

/// (experts, weights) [T][n_used] of scores [T, E]
py::tuple route_arrays(const py::capsule& device, const Floats& scores, int64_t n_used, bool sigmoid, bool normalized,
                       int64_t n_groups, int64_t n_groups_used, float scale, const std::optional<Floats>& bias) {
  Card& card = card_of(device);
  Queue queue(card);
  require(scores.ndim() == 2 && n_used > 0 && n_used <= scores.shape(1), "scores must be (T, E), n_used at most E");
  const int64_t rows = scores.shape(0), n = scores.shape(1);
  require(n_groups > 0 && n % n_groups == 0 && n_groups_used > 0 && n_groups_used <= n_groups, "no such groups");
  require(!bias || bias->size() == n, "bias must be (E,)");
  const Buffer in = on_card(card, scores), added = bias ? on_card(card, *bias) : Buffer();
  const Buffer experts(&card, rows * n_used * 4, "experts"), weights(&card, rows * n_used * 4, "weights"),
      failed(&card, 4, "a flag");
  route(queue,
        {in.as<float>(), n, n, n_used, n_groups, n_groups_used, sigmoid, normalized, scale, added.as<float>(),
         experts.as<int32_t>(), weights.as<float>(), nullptr, nullptr, failed.as<int>()},
        rows);
  if (to_vector<int>(card, failed, 1)[0]) throw NumericalError("scores are not finite");
  return py::make_tuple(to_vector<int32_t>(card, experts, rows * n_used),
                        to_vector<float>(card, weights, rows * n_used));
}

/// (places, rows, expert_of, groups) of experts [T, n_used]
py::tuple group_arrays(const py::capsule& device, const Int32s& experts, int64_t n_experts, int64_t group_tokens) {
  Card& card = card_of(device);
  Queue queue(card);
  require(experts.ndim() == 2 && experts.size() > 0 && group_tokens > 0, "experts must be (T, n_used)");
  const int64_t pairs = experts.size(), n_groups = GroupKernel::most_groups(pairs, n_experts, group_tokens);
  for (int64_t i = 0; i < pairs; ++i)
    require(experts.data()[i] >= 0 && experts.data()[i] < n_experts, "no such expert");
  const Buffer in = on_card(card, experts), places(&card, pairs * 8, "places"), rows(&card, pairs * 8, "rows"),
               expert_of(&card, pairs * 4, "experts"), groups(&card, n_groups * (int64_t)sizeof(MatmulGroup), "groups");
  group(queue, {in.as<int32_t>(), pairs, experts.shape(1), n_experts, group_tokens, places.as<int64_t>(),
                rows.as<int64_t>(), expert_of.as<int32_t>(), groups.as<MatmulGroup>(), n_groups});
  std::vector<std::array<int32_t, 3>> found;
  for (const MatmulGroup& g : to_vector<MatmulGroup>(card, groups, n_groups)) found.push_back({g.matrix, g.first, g.n});
  return py::make_tuple(to_vector<int64_t>(card, places, pairs), to_vector<int64_t>(card, rows, pairs),
                        to_vector<int32_t>(card, expert_of, pairs), found);
}

/// Tokens [first, first + n) of x [T, K] times that matrix of packed [M, N, K], for each group (matrix, first, n)
Floats matmul_groups_arrays(const py::capsule& device, int type_number, const std::vector<Bytes>& matrices,
                            int64_t n_rows, int64_t k, const Floats& x,
                            const std::vector<std::array<int32_t, 3>>& groups, int64_t group_tokens) {
  Card& card = card_of(device);
  Queue queue(card);
  const auto type = (WeightType)type_number;
  const int64_t n_panels = divide_up(n_rows, PANEL_ROWS), rows = x.shape(0);
  require(multiplies(type) && !matrices.empty(), "no such weight type, or no matrix");
  require(group_tokens <= (has_tiles(type) ? GROUP_TOKENS : MANY_TOKENS), "groups are too large");
  std::vector<Buffer> weights;
  std::vector<const uint8_t*> panels;
  for (const Bytes& matrix : matrices) {
    require(matrix.size() == matrices[0].size() && matrix.size() % n_panels == 0, "panels must be those of N rows");
    panels.push_back(weights.emplace_back(on_card(card, matrix)).data());
  }
  std::vector<MatmulGroup> told;
  for (const auto& [matrix, first, n] : groups) {
    require(
        matrix >= 0 && matrix < (int)matrices.size() && first >= 0 && n >= 0 && n <= group_tokens && first + n <= rows,
        "no such group");
    told.push_back({matrix, first, n});
  }
  const Buffer table(&card, (int64_t)panels.size() * 8, "panels"),
      on(&card, (int64_t)(told.size() * sizeof(MatmulGroup)), "groups"), in = on_card(card, x);
  card.upload(table.data(), panels.data(), (int64_t)panels.size() * 8);
  card.upload(on.data(), told.data(), on.size());
  Activated h(card, rows, k, form_of(type));
  const Buffer out(&card, rows * n_rows * 4, "a product");
  convert(queue, {ConvertKernel::Of::rows, Gate::silu, in.as<float>(), nullptr, k, h.forms, nullptr}, rows);
  h.check(card);
  MatmulArgs args{};
  args.parts[0] = {nullptr, (int64_t)matrices[0].size() / n_panels, n_rows, 0, 0, table.as<const uint8_t*>()};
  args.n_parts = 1;
  args.k = k;
  args.in = h.hidden.form(form_of(type));
  args.out = out.as<float>();
  args.out_stride = n_rows;
  args.groups = on.as<MatmulGroup>();
  args.n_groups = (int64_t)told.size();
  args.group_tokens = group_tokens;
  matmul(queue, type, args, n_panels);
  return to_array(card, out.as<float>(), {(py::ssize_t)rows, (py::ssize_t)n_rows});
}

} // namespace

void bind_experts(py::module_& m) {
  m.def("route", route_arrays, py::arg("device"), py::arg("scores"), py::arg("n_used"), py::arg("sigmoid"),
        py::arg("normalized"), py::arg("n_groups"), py::arg("n_groups_used"), py::arg("scale"), py::arg("bias"),
        "Experts and weights of each row; ArithmeticError where a score is not finite.");
  m.def("group", group_arrays, py::arg("device"), py::arg("experts"), py::arg("n_experts"), py::arg("group_tokens"),
        "Rows put side by side by expert: places, rows, experts, and groups (expert, first, n).");
  m.def("matmul_groups", matmul_groups_arrays, py::arg("device"), py::arg("type"), py::arg("panels"), py::arg("n_rows"),
        py::arg("k"), py::arg("x"), py::arg("groups"), py::arg("group_tokens"),
        "Groups of rows (matrix, first, n), each times a matrix of its own.");
}

} // namespace nextoken::cuda
