// Lets Python stop a native call: Ctrl-C, the caller's cancel event, or close() in another thread.
#pragma once
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/errors.h"
#include "base/poll.h"

namespace nextoken::bindings {

/// `cancel` is None or has is_set(). Looks with the interpreter's lock held, so no more often than every few
/// milliseconds.
class PythonPoll : public Poll {
 public:
  /// Called with the lock held: what is set before the call stops it at once.
  PythonPoll(pybind11::object cancel, const std::atomic<bool>* closing)
      : cancel_(std::move(cancel)), closing_(closing) {
    look();
  }

  void operator()() override {
    if (closing_ && closing_->load(std::memory_order_relaxed)) throw ClosedError("the model was closed");
    const auto now = Clock::now();
    if (now - last_ < std::chrono::milliseconds(10)) return;
    last_ = now;
    const pybind11::gil_scoped_acquire gil;
    look();
  }

 private:
  using Clock = std::chrono::steady_clock;

  void look() const {
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    if (!cancel_.is_none() && cancel_.attr("is_set")().cast<bool>()) throw CancelledError("cancelled");
  }

  pybind11::object cancel_;
  const std::atomic<bool>* closing_;
  Clock::time_point last_ = Clock::now();
};

/// Calls progress(done, total) no more often than every 20 ms, and always at the end.
class PythonProgress {
 public:
  explicit PythonProgress(pybind11::object callback) : callback_(std::move(callback)) {}

  void operator()(int64_t done, int64_t total) {
    if (callback_.is_none()) return;
    const auto now = std::chrono::steady_clock::now();
    if (done < total && now - last_ < std::chrono::milliseconds(20)) return;
    last_ = now;
    const pybind11::gil_scoped_acquire gil;
    callback_(done, total);
  }

 private:
  pybind11::object callback_;
  std::chrono::steady_clock::time_point last_{};
};

} // namespace nextoken::bindings
