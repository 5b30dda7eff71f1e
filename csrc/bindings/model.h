// What Python holds of a model and of a cache.
#pragma once
#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/errors.h"
#include "cache/cache.h"
#include "model/model.h"

namespace nextoken::bindings {

struct PyModel {
  std::unique_ptr<Model> model;
  std::atomic<bool> closing{false};
  std::string isa;
  int n_threads = 0;
  std::atomic<int> calls{0}; // that gave the interpreter's lock away and do not have it back
};

/// Lends the interpreter's lock to other threads while a call uses the model, and tells close() that it is out: a
/// thread that asks for the lock back once the interpreter is ending is ended inside C++ code, and takes the process
/// with it.
class Unlocked {
 public:
  explicit Unlocked(PyModel& model) : model_(model) {
    model_.calls.fetch_add(1);
    released_.emplace();
  }
  ~Unlocked() {
    released_.reset();
    model_.calls.fetch_sub(1);
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyModel& model_;
  std::optional<pybind11::gil_scoped_release> released_;
};

/// Only who has the model's turn looks at `cache`, which is null once closed. The rest can be read at any time, while
/// another thread's pass runs or closes it.
struct PyCache {
  PyCache(std::shared_ptr<PyModel> owner, std::unique_ptr<Cache> cache)
      : owner(std::move(owner)), shape(cache->shape()), n_ctx(cache->n_ctx()), cache(std::move(cache)) {
    refresh();
  }

  const std::shared_ptr<PyModel> owner;
  const KvShape shape;
  const int64_t n_ctx;
  std::unique_ptr<Cache> cache;
  std::atomic<bool> closed{false};
  std::atomic<int64_t> length{0}, nbytes{0};
  std::atomic<int64_t> version{0}; // one more with every change

  void require_open() const {
    if (closed) throw ClosedError("the session was closed");
  }
  /// With the turn.
  Cache& open() const {
    require_open();
    return *cache;
  }
  /// With the turn, after what changes the cache.
  void refresh() {
    length = cache->length();
    nbytes = cache->nbytes();
    version.fetch_add(1);
  }
  /// With the turn.
  void close() {
    closed = true;
    cache.reset();
    length = nbytes = 0;
  }
};

KvType kv_type(const std::string& name);
/// Throws std::invalid_argument if the cache can not be of that type.
KvShape kv_shape(const Spec& spec, const std::string& kv_dtype);

} // namespace nextoken::bindings
