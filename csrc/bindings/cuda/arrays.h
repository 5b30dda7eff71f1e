// NumPy arrays on a card and back, for the functions that tests call.
#pragma once
#include <pybind11/numpy.h>

#include <stdexcept>
#include <vector>

#include "base/errors.h"
#include "kernels/cuda/by_type.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/hidden.h"

namespace nextoken::cuda {

namespace py = pybind11;

using Floats = py::array_t<float, py::array::c_style>;
using Bytes = py::array_t<uint8_t, py::array::c_style>;
using Ids = py::array_t<int64_t, py::array::c_style>;

inline void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

template <class T>
Buffer on_card(Card& card, const py::array_t<T, py::array::c_style>& array) {
  Buffer buffer(&card, (int64_t)array.nbytes(), "an array");
  if (array.nbytes() > 0) card.upload(buffer.data(), array.data(), (int64_t)array.nbytes());
  return buffer;
}

inline Floats to_array(Card& card, const float* from, std::vector<py::ssize_t> shape) {
  Floats array(std::move(shape));
  if (array.nbytes() > 0) card.download(array.mutable_data(), from, (int64_t)array.nbytes());
  card.check();
  return array;
}

/// Room for rows in their forms, and the flag of numbers that are not finite.
struct Activated {
  Hidden hidden;
  Buffer failed;
  Forms forms;
  Activated(Card& card, int64_t rows, int64_t k, ActivationForm form)
      : hidden(rows, k, &card), failed(&card, 4, "a flag") {
    const Rows<float> x = hidden.reset(rows, k);
    const Hidden::Q32Row q32 = hidden.q32_row(0);
    const Hidden::Q256Row q256 = hidden.q256_row(0);
    forms = {1u << (int)form, k,         x.stride,        x.data,  (uint32_t*)hidden.bf16_row(0),
             q32.codes,       q32.scale, q32.scaled_sum,  q32.sum, q256.codes,
             q256.scale,      q256.sum,  failed.as<int>()};
  }
  void check(Card& card) const {
    int is_failed = 0;
    card.download(&is_failed, failed.data(), 4);
    card.check();
    if (is_failed) throw NumericalError("numbers are not finite");
  }
};

inline ActivationForm form_of(WeightType type) {
  if (type == WeightType::f32 || type == WeightType::f16) return ActivationForm::f32;
  if (type == WeightType::bf16) return ActivationForm::bf16;
  bool of_256 = false;
  with_format(type, [](auto) {}, [&](auto) { of_256 = true; });
  return of_256 ? ActivationForm::q256 : ActivationForm::q32;
}

} // namespace nextoken::cuda
