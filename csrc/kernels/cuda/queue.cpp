#include "kernels/cuda/queue.h"

#include <algorithm>

namespace nextoken::cuda {
namespace {

bool same_kernels(const std::vector<Launch>& a, const std::vector<Launch>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Launch& x, const Launch& y) { return x.kernel == y.kernel; });
}

bool same(const Launch& a, const Words* a_args, const Launch& b, const Words* b_args) {
  return a.grid.x == b.grid.x && a.grid.y == b.grid.y && a.grid.z == b.grid.z && a.threads == b.threads &&
         a.shared_bytes == b.shared_bytes && memcmp(a_args, b_args, (size_t)a.args_bytes) == 0;
}

} // namespace

void Queue::start(bool keeps) {
  launches_.clear();
  args_.clear();
  keeps_ = keeps && !refused_;
}

void Queue::finish() {
  if (launches_.empty()) return;
  if (refused_ || !run_graph()) flush();
  launches_.clear();
  args_.clear();
}

void Queue::flush() {
  for (const Launch& launch : launches_) launch.run(card_, launch, &args_[(size_t)launch.args_at]);
  launches_.clear();
  args_.clear();
}

/// False, and nothing ran, where the card has no graph of these.
bool Queue::run_graph() {
  const auto found = std::find_if(graphs_.begin(), graphs_.end(),
                                  [&](const Kept& kept) { return same_kernels(kept.launches, launches_); });
  bool fine = true;
  if (found != graphs_.end()) {
    std::rotate(found, found + 1, graphs_.end());
    Kept& kept = graphs_.back();
    for (size_t i = 0; fine && i < launches_.size(); ++i) {
      // The same kernels: their arguments stand in the same places.
      const Words* const args = &args_[(size_t)launches_[i].args_at];
      if (same(launches_[i], args, kept.launches[i], &kept.args[(size_t)launches_[i].args_at])) continue;
      fine = kept.graph->update(i, launches_[i], args);
    }
  } else {
    if (graphs_.size() == MOST_GRAPHS) graphs_.erase(graphs_.begin());
    graphs_.push_back({launches_, args_, std::make_unique<Graph>(card_, launches_, args_)});
    fine = graphs_.back().graph->made();
  }
  if (fine) {
    graphs_.back().launches = launches_;
    graphs_.back().args = args_;
    fine = graphs_.back().graph->launch();
  }
  if (fine) return true;
  graphs_.clear();
  refused_ = true;
  card_.say("the card takes no graph of a step's kernels: they are launched one by one, which is slower");
  return false;
}

} // namespace nextoken::cuda
