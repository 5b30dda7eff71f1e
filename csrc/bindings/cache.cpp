// nextoken._native.Cache: the KV cache of one sequence.
#include "cache/cache.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "bindings.h"
#include "bindings/model.h"
#include "bindings/python_poll.h"
#include "cache/state.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

/// Runs fn(cache) while no pass does, with the interpreter's lock released.
template <class F>
auto with_turn(const PyCache& c, F&& fn) {
  c.require_open();
  PythonPoll poll(py::none(), &c.owner->closing);
  const Unlocked unlocked(*c.owner);
  const PassQueue::Turn turn(c.owner->model->queue, &poll);
  return fn(c.open());
}

std::unique_ptr<PyCache> wrap(std::shared_ptr<PyModel> owner, std::unique_ptr<Cache> cache) {
  return std::make_unique<PyCache>(std::move(owner), std::move(cache));
}

std::unique_ptr<PyCache> make(std::shared_ptr<PyModel> model, const std::string& kv_dtype, int64_t n_ctx) {
  if (model->closing) throw ClosedError("the model was closed");
  if (n_ctx < 1) throw std::invalid_argument("n_ctx must be at least 1, not " + std::to_string(n_ctx));
  auto cache = std::make_unique<Cache>(kv_shape(model->model->spec, kv_dtype), n_ctx, model->model->device);
  return wrap(std::move(model), std::move(cache));
}

void rewind(PyCache& c, int64_t n) {
  with_turn(c, [&](Cache& cache) {
    if (n < 0 || n > cache.length()) {
      throw std::invalid_argument("can not rewind " + std::to_string(n) + " of " + std::to_string(cache.length()) +
                                  " tokens");
    }
    cache.rewind(n);
    c.refresh();
  });
}

/// Keys or values of one layer as (T, n_kv_heads, head_dim) float32; values of latents have latent_dim elements.
py::array_t<float> read_layer(const PyCache& c, int64_t layer, bool keys) {
  const KvShape& shape = c.shape;
  if (layer < 0 || layer >= shape.n_layers) {
    throw std::invalid_argument("layer must be from 0 to " + std::to_string(shape.n_layers - 1) + ", not " +
                                std::to_string(layer));
  }
  std::vector<float> rows = with_turn(c, [&](Cache& cache) { return read_rows(cache, layer, keys); });
  const auto width = (py::ssize_t)(keys ? shape.head_dim : shape.value_dim());
  const auto n = (py::ssize_t)rows.size() / (shape.n_kv_heads * width);
  py::array_t<float> result({n, (py::ssize_t)shape.n_kv_heads, width});
  std::memcpy(result.mutable_data(), rows.data(), rows.size() * 4);
  result.attr("setflags")(py::arg("write") = false);
  return result;
}

py::array_t<uint8_t> export_state(const PyCache& c) {
  const std::vector<uint8_t> bytes = with_turn(c, [](Cache& cache) { return to_bytes(cache); });
  return py::array_t<uint8_t>((py::ssize_t)bytes.size(), bytes.data());
}

std::unique_ptr<PyCache> restore(std::shared_ptr<PyModel> model, const std::string& kv_dtype, int64_t n_ctx,
                                 const std::vector<int32_t>& ids,
                                 const py::array_t<uint8_t, py::array::c_style>& data) {
  std::unique_ptr<PyCache> result = make(std::move(model), kv_dtype, n_ctx);
  from_bytes(*result->cache, ids, data.data(), (int64_t)data.size(), result->owner->model->spec.vocab_size);
  result->refresh();
  return result;
}

} // namespace

void bind_cache(py::module_& m) {
  py::class_<PyCache>(m, "Cache",
                      "The keys and values of one sequence, in blocks shared with its forks until one writes.")
      .def(py::init(&make), py::arg("model"), py::arg("kv_dtype"), py::arg("n_ctx"))
      .def("__len__", [](const PyCache& c) { return c.length.load(); })
      .def(
          "ids", [](const PyCache& c) { return with_turn(c, [](Cache& cache) { return cache.ids(); }); },
          "The token ids it holds.")
      .def_property_readonly(
          "nbytes", [](const PyCache& c) { return c.nbytes.load(); }, "bytes of its blocks, shared ones included")
      .def_property_readonly(
          "version", [](const PyCache& c) { return c.version.load(); }, "Grows by one with every pass and rewind.")
      .def_property_readonly("n_ctx",
                             [](const PyCache& c) {
                               c.require_open();
                               return c.n_ctx;
                             })
      .def_property_readonly("kv_dtype",
                             [](const PyCache& c) {
                               c.require_open();
                               return c.shape.type == KvType::f32 ? "f32" : c.shape.type == KvType::f16 ? "f16" : "q8";
                             })
      .def_property_readonly("closed", [](const PyCache& c) { return c.closed || c.owner->closing; })
      .def(
          "fork",
          [](const PyCache& c) { return wrap(c.owner, with_turn(c, [](Cache& cache) { return cache.fork(); })); },
          "A copy that shares every block.")
      .def("rewind", &rewind, py::arg("n"), "Forget the last n tokens.")
      .def(
          "keys", [](const PyCache& c, int64_t layer) { return read_layer(c, layer, true); }, py::arg("layer"),
          "Read-only copy (T, n_kv_heads, head_dim) float32 of the rotated keys.")
      .def(
          "values", [](const PyCache& c, int64_t layer) { return read_layer(c, layer, false); }, py::arg("layer"),
          "Read-only copy (T, n_kv_heads, head_dim) float32.")
      .def("export", &export_state, "The bytes of its keys and values, for restore.")
      .def_static("restore", &restore, py::arg("model"), py::arg("kv_dtype"), py::arg("n_ctx"), py::arg("ids"),
                  py::arg("data"),
                  "A cache of these ids from exported bytes. Raises ModelFormatError if their number does not fit.")
      .def(
          "close",
          [](PyCache& c) {
            if (c.closed) return;
            const Unlocked unlocked(*c.owner);
            const PassQueue::Turn turn(c.owner->model->queue, nullptr);
            c.close();
          },
          "Free its memory. Again: nothing happens.");
}

} // namespace nextoken::bindings
