// What a card does at best: the limits that a profile and a benchmark are held against.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include "bindings/cuda/arrays.h"
#include "bindings/cuda/module.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace nextoken::cuda {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What so many copies within the card's memory take.
double copy_seconds(const py::capsule& device, int64_t bytes, int times) {
  Card& card = card_of(device);
  require(bytes > 0 && times > 0, "bytes and times must be at least 1");
  const Buffer from(&card, bytes, "a copy"), to(&card, bytes, "a copy");
  const py::gil_scoped_release released;
  char byte = 0;
  card.download(&byte, to.data(), 1); // waits
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < times; ++i) card.copy(to.data(), from.data(), bytes);
  card.download(&byte, to.data(), 1);
  const double taken = seconds_since(start);
  card.check();
  return taken;
}

/// (int8, float, bf16) multiply-adds a second: the best of a few tries
std::tuple<double, double, double> most_macs(const py::capsule& device, int64_t blocks, int64_t steps) {
  Card& card = card_of(device);
  Queue queue(card);
  require(blocks > 0 && steps > 0, "blocks and steps must be at least 1");
  static_assert(FloatLimitKernel::THREADS == Int8LimitKernel::THREADS, "one buffer");
  const Buffer out(&card, blocks * FloatLimitKernel::THREADS * 4, "sums");
  const auto best = [&](auto launch, double macs_a_step) {
    double seconds = 1e30;
    for (int i = 0; i < 3; ++i) {
      float sum = 0.0f;
      card.download(&sum, out.data(), 4); // waits
      const Clock::time_point start = Clock::now();
      launch(queue, LimitArgs{steps, out.as<float>()}, blocks);
      card.download(&sum, out.data(), 4);
      seconds = std::min(seconds, seconds_since(start));
    }
    card.check();
    return (double)blocks * (double)steps * macs_a_step / seconds;
  };
  const py::gil_scoped_release released;
  const double floats = best(float_limit, FloatLimitKernel::MACS_A_STEP);
  return {best(int8_limit, Int8LimitKernel::MACS_A_STEP), floats,
          card.multiplies(WeightType::bf16) ? best(bf16_limit, Bf16LimitKernel::MACS_A_STEP) : floats};
}

} // namespace

void bind_limits(py::module_& m) {
  m.def("copy_seconds", copy_seconds, py::arg("device"), py::arg("bytes"), py::arg("times"),
        "Seconds that so many copies of so many bytes take, from one place of its memory to another.");
  m.def("most_macs", most_macs, py::arg("device"), py::arg("blocks") = 4096, py::arg("steps") = 4096,
        "Multiply-adds a second from registers: of int8 on tensor cores, of float32, of bf16 on tensor cores.");
}

} // namespace nextoken::cuda
