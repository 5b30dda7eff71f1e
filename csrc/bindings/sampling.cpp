// nextoken._native.Sampler and log_softmax_top.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "base/float_environment.h"
#include "bindings.h"
#include "sampling/sampler.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

using sampling::Candidate;
using sampling::Chance;
using sampling::Pick;
using sampling::Sampler;
using sampling::SamplerSettings;
using sampling::Stage;
using sampling::Trace;

/// `array` as n-dimensional C-contiguous elements of T, or an error that names it. Never a copy.
template <class T>
py::array_t<T> checked(const py::array& array, const char* name, py::ssize_t ndim) {
  const py::dtype want = py::dtype::of<T>();
  if (!array.dtype().equal(want))
    throw py::type_error(std::string(name) + ": expected " + std::string(py::str(want)) + ", got " +
                         std::string(py::str(array.dtype())));
  if (array.ndim() != ndim)
    throw py::value_error(std::string(name) + ": expected " + std::to_string(ndim) + " dimensions, got " +
                          std::to_string(array.ndim()));
  if (!(array.flags() & py::array::c_style))
    throw py::value_error(std::string(name) + ": expected C-contiguous memory");
  return py::reinterpret_borrow<py::array_t<T>>(array);
}

Pick choose(Sampler& sampler, const py::array& logits, int64_t position, const std::optional<py::array>& raw,
            Trace* trace) {
  const auto x = checked<float>(logits, "logits", 1);
  std::optional<py::array_t<float>> own;
  if (raw) {
    own = checked<float>(*raw, "raw", 1);
    if (own->size() != x.size()) throw py::value_error("raw: expected the shape of logits");
  }
  const float* raw_data = own ? own->data() : nullptr;
  py::gil_scoped_release unlocked;
  DefaultFloatEnvironment environment;
  return sampler.choose(x.data(), x.size(), position, raw_data, trace);
}

py::tuple log_softmax(const py::array& logits, const std::optional<py::array>& targets, int64_t n,
                      std::optional<int64_t> n_decodable) {
  const auto x = checked<float>(logits, "logits", 2);
  const int64_t rows = x.shape(0), n_vocab = x.shape(1);
  std::optional<py::array_t<int32_t>> wanted;
  if (targets) {
    wanted = checked<int32_t>(*targets, "targets", 1);
    if (wanted->size() != rows) throw py::value_error("targets: expected one for each row of logits");
  }
  if (n < 0) throw py::value_error("n: expected 0 or more");
  py::array_t<float> target_logprobs(wanted ? rows : 0);
  py::array_t<int32_t> ids({rows, n});
  py::array_t<float> logprobs({rows, n});
  {
    const int32_t* wanted_data = wanted ? wanted->data() : nullptr;
    float *target_out = target_logprobs.mutable_data(), *logprobs_out = logprobs.mutable_data();
    int32_t* ids_out = ids.mutable_data();
    py::gil_scoped_release unlocked;
    DefaultFloatEnvironment environment;
    sampling::log_softmax_top(kernel_table(), x.data(), rows, n_vocab, n_decodable.value_or(n_vocab), wanted_data, n,
                              target_out, ids_out, logprobs_out);
  }
  return py::make_tuple(target_logprobs, ids, logprobs);
}

Sampler make(int64_t vocab_size, std::optional<int64_t> n_decodable, double temperature, int64_t top_k, double top_p,
             double min_p, double typical_p, double repetition_penalty, double presence_penalty,
             double frequency_penalty, std::vector<std::pair<int32_t, float>> logit_bias,
             std::optional<std::vector<int32_t>> allowed_token_ids, uint64_t seed, uint64_t sequence,
             std::optional<int64_t> logprobs, const std::optional<std::string>& isa) {
  SamplerSettings s;
  s.temperature = temperature;
  s.top_k = top_k;
  s.top_p = top_p;
  s.min_p = min_p;
  s.typical_p = typical_p;
  s.repetition_penalty = repetition_penalty;
  s.presence_penalty = presence_penalty;
  s.frequency_penalty = frequency_penalty;
  s.logit_bias = std::move(logit_bias);
  s.only_allowed = allowed_token_ids.has_value();
  if (allowed_token_ids) s.allowed_token_ids = std::move(*allowed_token_ids);
  s.seed = seed;
  s.sequence = sequence;
  s.want_logprob = logprobs.has_value();
  s.n_top = logprobs.value_or(0);
  return Sampler(kernel_table(isa ? isa->c_str() : nullptr), std::move(s), vocab_size,
                 n_decodable.value_or(vocab_size));
}

int64_t size(const std::vector<int32_t>& ids) { return int64_t(ids.size()); }

py::list chances(const std::vector<Chance>& of) {
  py::list out;
  for (const Chance& c : of) out.append(py::make_tuple(c.id, c.probability));
  return out;
}

} // namespace

void bind_sampling(py::module_& m) {
  py::class_<Pick>(m, "Pick", "A chosen token.")
      .def_readonly("id", &Pick::id)
      .def_property_readonly(
          "logprob",
          [](const Pick& p) { return p.logprob == p.logprob ? py::object(py::float_(p.logprob)) : py::none(); },
          "Log-softmax of the model's logits at `id`; None unless logprobs were asked for.")
      .def_property_readonly(
          "top",
          [](const Pick& p) {
            py::list out;
            for (const Candidate& c : p.top) out.append(py::make_tuple(c.id, c.logit, c.logprob));
            return out;
          },
          "The best candidates as (id, logit, logprob), best first.");

  py::class_<Stage>(m, "Stage", "What one stage of the sampler did.")
      .def_readonly("name", &Stage::name)
      .def_readonly("remaining", &Stage::remaining)
      .def_readonly("removed", &Stage::removed)
      .def_property_readonly(
          "kept", [](const Stage& s) { return chances(s.kept); },
          "The likeliest after the stage: (id, probability it left).")
      .def_property_readonly(
          "dropped", [](const Stage& s) { return chances(s.dropped); },
          "The likeliest of the removed: (id, probability before the stage).");

  py::class_<Sampler>(m, "Sampler", "One sequence's way from logits to the next token.")
      .def(py::init(&make), py::kw_only(), py::arg("vocab_size"), py::arg("n_decodable") = py::none(),
           py::arg("temperature") = 0.0, py::arg("top_k") = 0, py::arg("top_p") = 1.0, py::arg("min_p") = 0.0,
           py::arg("typical_p") = 1.0, py::arg("repetition_penalty") = 1.0, py::arg("presence_penalty") = 0.0,
           py::arg("frequency_penalty") = 0.0, py::arg("logit_bias") = std::vector<std::pair<int32_t, float>>(),
           py::arg("allowed_token_ids") = py::none(), py::arg("seed") = 0, py::arg("sequence") = 0,
           py::arg("logprobs") = py::none(), py::arg("isa") = py::none())
      .def_property_readonly("vocab_size", &Sampler::vocab_size)
      .def(
          "observe_prompt",
          [](Sampler& s, const std::vector<int32_t>& ids) { s.observe_prompt(ids.data(), size(ids)); }, py::arg("ids"),
          "Tells the repetition penalty which tokens the prompt has; ids (T,).")
      .def(
          "observe", [](Sampler& s, const std::vector<int32_t>& ids) { s.observe(ids.data(), size(ids)); },
          py::arg("ids"), "Tells the penalties which tokens the answer has so far; ids (T,), each once.")
      .def(
          "choose",
          [](Sampler& s, const py::array& logits, int64_t position, const std::optional<py::array>& raw) {
            return choose(s, logits, position, raw, nullptr);
          },
          py::arg("logits"), py::arg("position"), py::arg("raw") = py::none(),
          "The Pick for `position` from logits (V,) float32. `raw` are the model's own where `logits` were changed.")
      .def(
          "explain",
          [](Sampler& s, const py::array& logits, int64_t position, const std::optional<py::array>& raw,
             int64_t shown) {
            if (shown < 0) throw py::value_error("shown: expected 0 or more");
            Trace trace(shown);
            const Pick pick = choose(s, logits, position, raw, &trace);
            return py::make_tuple(pick, trace.stages());
          },
          py::arg("logits"), py::arg("position"), py::arg("raw") = py::none(), py::arg("shown") = 10,
          "The same Pick, and a Stage for all that happened on the way.");

  m.def("log_softmax_top", &log_softmax, py::arg("logits"), py::arg("targets") = py::none(), py::arg("n") = 0,
        py::arg("n_decodable") = py::none(),
        "For logits (T, V) float32: log-softmax at targets (T,) int32 as (T,) float32 (empty without targets), and the "
        "n\n"
        "best ids below n_decodable (T, n) int32 with theirs (T, n) float32, best first; -1 and -inf where there are "
        "fewer.");
}

} // namespace nextoken::bindings
