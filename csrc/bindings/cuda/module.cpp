// nextoken._cuda, and _cuda_host of the tests: devices as capsules that nextoken._native.Model.load takes.
#include "bindings/cuda/module.h"

#include <pybind11/stl.h>

#include <map>
#include <memory>

#include "base/errors.h"

#if !defined(NEXTOKEN_CUDA_HOST)
#include <cuda_runtime_api.h>
#endif

namespace py = pybind11;

namespace nextoken::cuda {
namespace {

void translate(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const OutOfMemory& e) {
    PyErr_SetString(PyExc_MemoryError, e.what());
  } catch (const NumericalError& e) {
    PyErr_SetString(PyExc_ArithmeticError, e.what());
  }
}

/// Kept for ever, as the card is.
void listen(const py::capsule& device, py::function log) {
  Card& card = card_of(device);
  if (card.listener) return;
  auto* const kept = new py::function(std::move(log));
  card.listener = [kept](const std::string& text) {
    const py::gil_scoped_acquire acquired;
    (*kept)(text);
  };
}

py::capsule capsule_of(Card& card) { return py::capsule(static_cast<Device*>(&card), DEVICE_CAPSULE); }

#if defined(NEXTOKEN_CUDA_HOST)

// Never freed: models and sessions may point to it for as long as they like.
py::capsule open(int64_t total_bytes, bool backwards) { return capsule_of(*new Card(total_bytes, backwards)); }

/// What must not be written: a thread reads what its neighbour wrote, and no barrier is between.
struct RacingKernel {
  struct Args {
    int* out;
    bool in_one_phase;
  };
  static constexpr int THREADS = 2 * WARP;

  template <class Block>
  static void run(Block& block, const Args& a) {
    int* const place = block.template shared<int>(THREADS);
    block.each([&](int t) { place[t] = 0; });
    block.own([&](int t) {
      place[t] = t + 1;
      if (a.in_one_phase) a.out[t] = place[(t + 1) % THREADS];
    });
    block.own([&](int t) {
      if (!a.in_one_phase) a.out[t] = place[(t + 1) % THREADS];
    });
  }
};

std::vector<int> race(const py::capsule& device, bool in_one_phase) {
  Card& card = card_of(device);
  const Buffer out(&card, RacingKernel::THREADS * 4, "a race");
  card.launch<RacingKernel>({1}, RacingKernel::THREADS, shared_size(RacingKernel::THREADS * 4),
                            {out.as<int>(), in_one_phase});
  std::vector<int> found(RacingKernel::THREADS);
  card.download(found.data(), out.data(), (int64_t)found.size() * 4);
  return found;
}

/// Nor this: some threads leave, for whom others wait.
struct LeavingKernel {
  struct Args {
    bool shuffles;
  };
  static constexpr int THREADS = 2 * WARP;

  template <class Block>
  static void run(Block& block, const Args& a) {
    bool leaves = false;
    block.own([&](int t) { leaves = t % 3 == 0; });
    if (leaves) return;
    typename Block::template Local<int> value{}, other;
    if (a.shuffles)
      block.shuffle_xor(other, value, 1);
    else
      block.each([](int) {});
  }
};

void leave(const py::capsule& device, bool shuffles) {
  card_of(device).launch<LeavingKernel>({1}, LeavingKernel::THREADS, 0, {shuffles});
}

/// What must not be done either: the processor reads the card's memory.
int peek(const py::capsule& device) {
  const Buffer buffer(&card_of(device), 4, "a look");
  return *(volatile int*)buffer.data();
}

std::pair<int64_t, int64_t> downloads(const py::capsule& device) {
  const Card& card = card_of(device);
  return {card.n_downloads(), card.downloaded_bytes()};
}

py::dict graphs(const py::capsule& device) {
  const Card::Graphs& found = card_of(device).graphs;
  py::dict d;
  d["made"] = found.made.load(), d["updates"] = found.updates.load(), d["launches"] = found.launches.load();
  return d;
}

void bind_devices(py::module_& m) {
  m.def("listen", listen, py::arg("device"), py::arg("log"), "log(text) hears what happens there.");
  m.def("graphs", graphs, py::arg("device"), "{made, updates, launches} of graphs so far.");
  m.def(
      "refuse_graphs", [](const py::capsule& device) { card_of(device).graphs.takes_graphs = false; },
      py::arg("device"), "As a driver would that can not make any.");
  m.def("downloads", downloads, py::arg("device"), "(copies to the processor so far, their bytes)");
  m.def("peek", peek, py::arg("device"), "Ends the process.");
  m.def("race", race, py::arg("device"), py::arg("in_one_phase"),
        "A kernel that races: its answer depends on the order of threads.");
  m.def("leave", leave, py::arg("device"), py::arg("shuffles"),
        "A kernel of which some threads wait for ever: RuntimeError.");
  m.def("open", open, py::arg("total_bytes"), py::arg("backwards") = false,
        "The processor as a card with so much memory; threads and blocks in the opposite order if `backwards`.");
}

#else

/// Throws std::runtime_error with CUDA's words if there is no driver, or one that is too old.
int count() {
  int n = 0;
  const cudaError_t result = cudaGetDeviceCount(&n);
  if (result != cudaSuccess && result != cudaErrorNoDevice) {
    cudaGetLastError();
    throw std::runtime_error(cudaGetErrorString(result));
  }
  return n;
}

Card& card(int index) {
  static std::map<int, Card*> cards; // never freed: models and sessions point to them
  if (index < 0 || index >= count()) throw std::invalid_argument("there is no card " + std::to_string(index));
  Card*& found = cards[index];
  if (!found) found = new Card(index);
  return *found;
}

py::dict info(int index) {
  cudaDeviceProp p{};
  const cudaError_t result = cudaGetDeviceProperties(&p, index);
  if (result != cudaSuccess) throw std::runtime_error(cudaGetErrorString(result));
  py::dict d;
  d["index"] = index;
  d["name"] = std::string(p.name);
  d["compute_capability"] = py::make_tuple(p.major, p.minor);
  d["total_bytes"] = card(index).total_bytes();
  d["free_bytes"] = card(index).free_bytes();
  return d;
}

void bind_devices(py::module_& m) {
  m.def("listen", listen, py::arg("device"), py::arg("log"), "log(text) hears what happens there.");
  m.def("count", count, "How many cards there are. RuntimeError without a driver, or with one that is too old.");
  m.def("info", info, py::arg("index"), "Name, compute capability, total and free bytes of a card.");
  m.def(
      "open", [](int index) { return capsule_of(card(index)); }, py::arg("index"),
      "A card, for Model.load. ValueError if there is no such card, RuntimeError if it can not be used.");
}

#endif

} // namespace

Card& card_of(const py::capsule& device) {
  void* const p = PyCapsule_GetPointer(device.ptr(), DEVICE_CAPSULE);
  if (!p) throw py::error_already_set();
  return static_cast<Card&>(*static_cast<Device*>(p));
}

} // namespace nextoken::cuda

#if defined(NEXTOKEN_CUDA_HOST)
PYBIND11_MODULE(_cuda_host, m) {
#else
PYBIND11_MODULE(_cuda, m) {
#endif
  m.doc() = "The kernels of nextoken for NVIDIA cards.";
  py::register_local_exception_translator(nextoken::cuda::translate);
  nextoken::cuda::bind_devices(m);
  nextoken::cuda::bind_ops(m);
  nextoken::cuda::bind_attention(m);
  nextoken::cuda::bind_experts(m);
  nextoken::cuda::bind_limits(m);
}
