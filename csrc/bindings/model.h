// What Python holds of a model and of a cache.
#pragma once
#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/errors.h"
#include "cache/cache.h"
#include "model/model.h"

namespace nextoken::bindings {

struct PyModel {
  std::unique_ptr<Model> model;
  std::atomic<bool> closing{false};
  std::string isa;
  int n_threads = 0;
};

/// `cache` is null once closed. length and nbytes are copies that only change with the interpreter's lock held, so that
/// they can be read while another thread's pass runs.
struct PyCache {
  std::shared_ptr<PyModel> owner;
  std::unique_ptr<Cache> cache;
  int64_t length = 0, nbytes = 0;

  Cache& open() const {
    if (!cache) throw ClosedError("the session was closed");
    return *cache;
  }
  void refresh() {
    length = cache ? cache->length() : 0;
    nbytes = cache ? cache->nbytes() : 0;
  }
};

KvType kv_type(const std::string& name);

} // namespace nextoken::bindings
