// nextoken._native.Model, and the calls that run it: append and predict.
#include "bindings/model.h"

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/buffer.h"
#include "bindings.h"
#include "bindings/python_poll.h"
#include "gguf/reader.h"
#include "model/load.h"
#include "model/pass.h"
#include "sampling/sampler.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

using Array = py::array_t<float, py::array::c_style>;

Scales to_scales(const py::object& object) {
  Scales scales;
  if (object.is_none()) return scales;
  scales.codes = (Codes)object.attr("codes").cast<int32_t>();
  scales.type = object.attr("type").cast<int32_t>();
  scales.file = object.attr("file").cast<int32_t>();
  scales.offset = object.attr("offset").cast<int64_t>();
  scales.nbytes = object.attr("nbytes").cast<int64_t>();
  scales.block_rows = object.attr("block_rows").cast<int64_t>();
  scales.block_columns = object.attr("block_columns").cast<int64_t>();
  scales.matrix_lines = object.attr("matrix_lines").cast<int64_t>();
  return scales;
}

TensorSource to_source(const py::handle& tensor) {
  TensorSource source;
  source.name = tensor.attr("name").cast<std::string>();
  source.type = tensor.attr("type").cast<int32_t>();
  source.shape = tensor.attr("shape").cast<std::vector<int64_t>>();
  source.offset = tensor.attr("offset").cast<int64_t>();
  source.nbytes = tensor.attr("nbytes").cast<int64_t>();
  source.file = tensor.attr("file").cast<int32_t>();
  source.halved_heads = tensor.attr("halved_heads").cast<int64_t>();
  source.qkv_groups = tensor.attr("qkv_groups").cast<int64_t>();
  source.head_dim = tensor.attr("head_dim").cast<int64_t>();
  source.file_rows = tensor.attr("file_rows").cast<int64_t>();
  source.first_row = tensor.attr("first_row").cast<int64_t>();
  source.row_step = tensor.attr("row_step").cast<int64_t>();
  source.transposed = tensor.attr("transposed").cast<bool>();
  source.file_columns = tensor.attr("file_columns").cast<int64_t>();
  source.plus = tensor.attr("plus").cast<float>();
  source.scales = to_scales(tensor.attr("scales"));
  source.values = tensor.attr("values").cast<std::vector<float>>();
  const py::object stored = tensor.attr("stored_type");
  if (!stored.is_none()) source.stored_type = stored.cast<int32_t>();
  return source;
}

using Headers =
    std::variant<std::monostate, const gguf::GGUFFile*, std::vector<const gguf::GGUFFile*>, std::vector<const File*>>;

/// A path, or a list of them; each str or bytes.
std::vector<std::string> to_paths(const py::object& path) {
  if (py::isinstance<py::list>(path)) return path.cast<std::vector<std::string>>();
  return {path.cast<std::string>()};
}

std::vector<const File*> to_files(const Headers& headers) {
  if (const auto* one = std::get_if<const gguf::GGUFFile*>(&headers)) {
    return *one ? std::vector<const File*>{&(*one)->file} : std::vector<const File*>{};
  }
  std::vector<const File*> files;
  if (const auto* parts = std::get_if<std::vector<const gguf::GGUFFile*>>(&headers)) {
    for (const gguf::GGUFFile* part : *parts) files.push_back(part ? &part->file : nullptr);
  } else if (const auto* shards = std::get_if<std::vector<const File*>>(&headers)) {
    files = *shards;
  }
  for (const File* file : files) {
    if (!file) throw std::invalid_argument("a header is None");
  }
  return files;
}

/// From a capsule of another module, or null for None.
Device* to_device(const py::object& device) {
  if (device.is_none()) return nullptr;
  void* const p = PyCapsule_GetPointer(device.ptr(), DEVICE_CAPSULE);
  if (!p) throw py::error_already_set();
  return static_cast<Device*>(p);
}

std::shared_ptr<PyModel> load(const Spec& spec, const py::dict& tensors, const py::object& path, const Headers& header,
                              int n_threads, const std::optional<std::string>& isa, const py::object& device,
                              bool check, const py::object& progress, const py::object& cancel) {
  if (n_threads < 1 || n_threads > 1024) {
    throw std::invalid_argument("n_threads must be from 1 to 1024, not " + std::to_string(n_threads));
  }
  TensorSources sources;
  for (const auto& [role, tensor] : tensors) sources[role.cast<std::string>()] = to_source(tensor);
  const std::vector<std::string> paths = to_paths(path);
  const std::vector<const File*> headers = to_files(header);
  PythonPoll poll(cancel, nullptr);
  PythonProgress report(progress);
  Device* const on = to_device(device);
  auto result = std::make_shared<PyModel>();
  const py::gil_scoped_release released;
  result->model = load_model(spec, sources, paths, headers, n_threads, isa ? isa->c_str() : nullptr, on, check, &poll,
                             std::ref(report));
  result->isa = result->model->kernels->isa();
  result->n_threads = n_threads;
  return result;
}

void close(PyModel& m) {
  m.closing.store(true);
  const py::gil_scoped_release released;
  {
    const PassQueue::Turn turn(m.model->queue, nullptr);
    m.model->closed = true;
    m.model->weights.storage = Buffer();
    m.model->workspace = Workspace();
    m.model->kernels.reset();
    m.model->pool.reset();
  }
  // See Unlocked. Not for ever: no promise depends on it unless the interpreter ends.
  for (int ms = 0; ms < 1000 && m.calls.load() > 0; ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

std::vector<int32_t> to_ids(const py::handle& object) {
  if (py::isinstance<py::array_t<int32_t>>(object)) {
    const auto array = py::cast<py::array_t<int32_t, py::array::c_style | py::array::forcecast>>(object);
    if (array.ndim() != 1) throw std::invalid_argument("token ids must be one-dimensional");
    return {array.data(), array.data() + array.size()};
  }
  std::vector<int32_t> ids;
  for (const py::handle item : py::reinterpret_borrow<py::iterable>(object)) {
    const Py_ssize_t id = PyNumber_AsSsize_t(item.ptr(), nullptr); // clipped: far outside any vocabulary
    if (id == -1 && PyErr_Occurred()) throw py::error_already_set();
    ids.push_back((int32_t)std::max<Py_ssize_t>(INT32_MIN, std::min<Py_ssize_t>(INT32_MAX, id)));
  }
  return ids;
}

/// The system grants more than it has and later ends the process that uses it: large arrays are asked for with care.
void require_memory_for_logits(int64_t rows, int64_t vocab_size) {
  if (rows < 0 || vocab_size < 1) throw std::invalid_argument("rows must be 0 or more, vocab_size 1 or more");
  const int64_t row_bytes = vocab_size * (int64_t)sizeof(float), most = std::numeric_limits<int64_t>::max();
  const int64_t bytes = rows > most / row_bytes ? most : rows * row_bytes;
  if (bytes >= int64_t{64} << 20) require_memory(bytes, "the logits");
}

/// The steps of a pass and what they point to.
struct Steps {
  std::vector<PyCache*> caches;
  std::vector<std::vector<int32_t>> ids;
  std::vector<SequenceStep> steps;
  std::vector<int64_t> versions; // that the caches must have, -1 for any; or empty

  Steps(const std::shared_ptr<PyModel>& model, const std::vector<PyCache*>& caches, const py::list& ids,
        const std::vector<int64_t>& versions)
      : caches(caches), versions(versions) {
    if (!versions.empty() && versions.size() != caches.size()) {
      throw std::invalid_argument("one version a session is needed");
    }
    if (caches.size() != ids.size()) {
      throw std::invalid_argument(std::to_string(caches.size()) + " sessions and " + std::to_string(ids.size()) +
                                  " lists of token ids");
    }
    for (const py::handle item : ids) this->ids.push_back(to_ids(item));
    for (size_t i = 0; i < caches.size(); ++i) {
      if (!caches[i] || caches[i]->owner != model) throw std::invalid_argument("a session belongs to another model");
      caches[i]->require_open();
      require_room(caches[i]->length, (int64_t)this->ids[i].size(), caches[i]->n_ctx); // before memory for logits
      steps.push_back({nullptr, this->ids[i].data(), (int64_t)this->ids[i].size(), nullptr});
    }
  }

  int64_t n_tokens() const {
    int64_t n = 0;
    for (const auto& list : ids) n += (int64_t)list.size();
    return n;
  }

  void require_tokens() const {
    for (const auto& list : ids) {
      if (list.empty()) throw std::invalid_argument("no token ids: there is no last row to take logits of");
    }
  }

  void run(PyModel& model, Logits logits, const py::object& cancel, const py::object& progress, LastRows* last,
           Profile* profile) {
    PythonPoll poll(cancel, &model.closing);
    PythonProgress report(progress);
    const Unlocked unlocked(model);
    const PassQueue::Turn turn(model.model->queue, &poll);
    for (size_t i = 0; i < caches.size(); ++i) {
      steps[i].cache = &caches[i]->open(); // or closed while this waited
      if (!versions.empty() && versions[i] >= 0 && versions[i] != caches[i]->version) {
        throw std::runtime_error(
            "the session was changed while it was in use: by another thread, or by a call between "
            "two tokens of its stream");
      }
    }
    run_pass(*model.model, steps, logits, &poll, std::ref(report), last, profile);
    for (PyCache* cache : caches) cache->refresh();
  }
};

py::list append(const std::shared_ptr<PyModel>& model, const std::vector<PyCache*>& caches, const py::list& ids,
                const std::string& logits, const std::vector<int64_t>& versions, const py::object& cancel,
                const py::object& progress, Profile* profile) {
  Logits wanted = Logits::none;
  if (logits == "last") {
    wanted = Logits::last;
  } else if (logits == "all") {
    wanted = Logits::all;
  } else if (logits != "none") {
    throw std::invalid_argument("logits must be 'none', 'last' or 'all', not '" + logits + "'");
  }
  Steps steps(model, caches, ids, versions);
  if (wanted == Logits::last) steps.require_tokens();
  const py::ssize_t vocab_size = model->model->spec.vocab_size;
  if (wanted == Logits::all) require_memory_for_logits(steps.n_tokens(), vocab_size);
  py::list results;
  for (SequenceStep& step : steps.steps) {
    if (wanted == Logits::none) {
      results.append(py::none());
      continue;
    }
    Array array = wanted == Logits::last ? Array(vocab_size) : Array({(py::ssize_t)step.n, vocab_size});
    step.logits = array.mutable_data();
    results.append(std::move(array));
  }
  steps.run(*model, wanted, cancel, progress, nullptr, profile);
  return results;
}

/// Each sequence's sampler chooses from its last row.
struct Choosers : LastRows {
  const std::vector<sampling::Sampler*>& samplers;
  const std::vector<SequenceStep>& steps;
  std::vector<sampling::Pick> picks;

  Choosers(const std::vector<sampling::Sampler*>& samplers, const std::vector<SequenceStep>& steps)
      : samplers(samplers), steps(steps), picks(samplers.size()) {}
  int64_t position(size_t i) const { return steps[i].cache->length() + steps[i].n; }
  void take(size_t i, const float* logits) override {
    picks[i] = samplers[i]->choose(logits, samplers[i]->vocab_size(), position(i));
  }
  Thinning thinning(size_t i) override { return samplers[i]->thinning(); }
  void take(size_t i, const ThinRow& row) override { picks[i] = samplers[i]->choose(row, position(i)); }
};

std::vector<sampling::Pick> predict(const std::shared_ptr<PyModel>& model, const std::vector<PyCache*>& caches,
                                    const py::list& ids, const std::vector<sampling::Sampler*>& samplers,
                                    const std::vector<int64_t>& versions, const py::object& cancel,
                                    const py::object& progress, Profile* profile) {
  Steps steps(model, caches, ids, versions);
  steps.require_tokens();
  if (samplers.size() != caches.size()) throw std::invalid_argument("one sampler a session is needed");
  for (size_t i = 0; i < samplers.size(); ++i) {
    if (!samplers[i]) throw std::invalid_argument("a sampler is None");
    for (size_t j = 0; j < i; ++j) {
      if (samplers[j] == samplers[i]) throw std::invalid_argument("the same sampler stands in the batch twice");
    }
  }
  const int64_t vocab_size = model->model->spec.vocab_size;
  for (const sampling::Sampler* sampler : samplers) {
    if (sampler->vocab_size() == vocab_size) continue;
    throw std::invalid_argument("logits: expected " + std::to_string(sampler->vocab_size()) + " of them, got " +
                                std::to_string(vocab_size));
  }
  Choosers choosers(samplers, steps.steps);
  steps.run(*model, Logits::last, cancel, progress, &choosers, profile);
  return std::move(choosers.picks);
}

} // namespace

void bind_model(py::module_& m) {
  py::class_<PyModel, std::shared_ptr<PyModel>>(m, "Model",
                                                "A loaded model; its passes run one at a time, in order of arrival.")
      .def_static(
          "load", &load, py::arg("spec"), py::arg("tensors"), py::arg("path"), py::kw_only(),
          py::arg("header") = py::none(), py::arg("n_threads"), py::arg("isa") = py::none(),
          py::arg("device") = py::none(), py::arg("check") = true, py::arg("progress") = py::none(),
          py::arg("cancel") = py::none(),
          "Read and repack the tensors, {role: checkpoints.tensors.TensorInfo}, of the file or files at path.\n\n"
          "header is the GGUFFile, or one GGUFFile or File each, they come from; if a path leads to another file by "
          "now, that is\n"
          "a ModelFormatError. Without `check`, weights need not be finite. progress(bytes_done, bytes_total); cancel\n"
          "has is_set(). Raises ModelFormatError, UnsupportedModelError, NumericalError, OSError, MemoryError,\n"
          "Cancelled.")
      .def_property_readonly("spec", [](const PyModel& m) { return m.model->spec; })
      .def_property_readonly(
          "nbytes", [](const PyModel& m) { return m.model->weights.storage.size(); }, "bytes of packed weights")
      .def_property_readonly("isa", [](const PyModel& m) { return m.isa; })
      .def_property_readonly("n_threads", [](const PyModel& m) { return m.n_threads; })
      .def_property_readonly(
          "fingerprint", [](const PyModel& m) { return m.model->fingerprint; }, "hex; identifies spec and weights")
      .def_property_readonly("closed", [](const PyModel& m) { return m.closing.load(); })
      .def("close", &close, "End the pass in flight with ClosedError and free the weights. Again: nothing happens.");
}

// After Cache is known by name: the signatures of these, and so the stubs, mention it.
void bind_passes(py::module_& m) {
  m.def("append", &append, py::arg("model"), py::arg("caches"), py::arg("ids"), py::arg("logits"), py::kw_only(),
        py::arg("versions") = std::vector<int64_t>(), py::arg("cancel") = py::none(), py::arg("progress") = py::none(),
        py::arg("profile") = py::none(),
        "Append ids to several caches in one pass, all or none.\n\n"
        "RuntimeError if a cache has another version than `versions` says; -1 stands for any.\n"
        "Returns, for each, None, the last row (V,) or all rows (T, V) of logits as float32.");
  m.def("require_memory_for_logits", &require_memory_for_logits, py::arg("rows"), py::arg("vocab_size"),
        "MemoryError if so many rows of logits take more bytes than this machine has available.");
  m.def("predict", &predict, py::arg("model"), py::arg("caches"), py::arg("ids"), py::arg("samplers"), py::kw_only(),
        py::arg("versions") = std::vector<int64_t>(), py::arg("cancel") = py::none(), py::arg("progress") = py::none(),
        py::arg("profile") = py::none(),
        "Append ids to several caches in one pass, all or none, and choose the token that follows each.\n\n"
        "The chosen tokens are not appended. `versions` as in append.");
}

} // namespace nextoken::bindings
