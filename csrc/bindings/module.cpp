// The native module: nextoken._native.
#include "bindings.h"

PYBIND11_MODULE(_native, m) {
  m.doc() = "Native kernels, model, cache and readers of nextoken.";
  nextoken::bindings::bind_errors(m);
  nextoken::bindings::bind_kernels(m);
  nextoken::bindings::bind_kernels_ops(m);
  nextoken::bindings::bind_kernels_attention(m);
  nextoken::bindings::bind_sampling(m);
  nextoken::bindings::bind_file(m);
  nextoken::bindings::bind_gguf(m);
  nextoken::bindings::bind_spec(m);
  nextoken::bindings::bind_profile(m);
  nextoken::bindings::bind_model(m);
  nextoken::bindings::bind_cache(m);
  nextoken::bindings::bind_passes(m);
  nextoken::bindings::bind_tokenizer(m);
}
