#pragma once
#include <pybind11/pybind11.h>

#include "kernels/cuda/card.h"

namespace nextoken::cuda {

/// The card in a capsule of this module; throws py::error_already_set for another one.
Card& card_of(const pybind11::capsule& device);
/// The kernels one by one, on NumPy arrays.
void bind_ops(pybind11::module_& m);
void bind_attention(pybind11::module_& m);
void bind_experts(pybind11::module_& m);
void bind_limits(pybind11::module_& m);

} // namespace nextoken::cuda
