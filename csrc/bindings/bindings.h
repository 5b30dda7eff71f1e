// One bind function per room; each lives in the file of its name.
#pragma once
#include <pybind11/pybind11.h>

namespace nextoken::bindings {

void bind_errors(pybind11::module_& m);
void bind_kernels(pybind11::module_& m);
void bind_kernels_ops(pybind11::module_& m);
void bind_kernels_attention(pybind11::module_& m);
void bind_sampling(pybind11::module_& m);
void bind_file(pybind11::module_& m);
void bind_gguf(pybind11::module_& m);
void bind_spec(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_passes(pybind11::module_& m);
void bind_cache(pybind11::module_& m);
void bind_profile(pybind11::module_& m);
void bind_tokenizer(pybind11::module_& m);

} // namespace nextoken::bindings
