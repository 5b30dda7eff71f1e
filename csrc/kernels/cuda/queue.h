// Launches in their order. Those of a step that decodes are written down, and run as one graph when their results are
// waited for: to launch hundreds of short kernels one by one takes longer than they do. A graph serves all steps that
// launch the same kernels; arguments that differ from the last step's are set anew, so that none can be stale.
#pragma once
#include <memory>
#include <vector>

#include "kernels/cuda/card.h"
#include "kernels/cuda/launch.h"

namespace nextoken::cuda {

class Queue {
 public:
  explicit Queue(Card& card) : card_(card) {}

  /// From now on launches are written down, or run at once. What is written down and did not run is forgotten.
  void start(bool keeps);
  /// Runs what is written down, as a graph. A copy to or from memory that it uses must not overtake it.
  void finish();
  /// Runs it launch by launch, where it is only a part of a step.
  void flush();

#if defined(__CUDACC__) || defined(NEXTOKEN_CUDA_HOST)
  template <class Kernel>
  void launch(Grid grid, int threads, int64_t shared_bytes, const typename Kernel::Args& args) {
    if (grid.x * grid.y * grid.z == 0) return;
    if (!keeps_) return card_.launch<Kernel>(grid, threads, shared_bytes, args);
    card_.allow_shared<Kernel>(shared_bytes);
    const int64_t at = (int64_t)args_.size(), words = divide_up(sizeof(args), sizeof(Words));
    launches_.push_back(
        {Card::id_of<Kernel>(), run_as<Kernel>, grid, threads, shared_bytes, at, (int64_t)sizeof(args)});
    args_.resize((size_t)(at + words));
    memcpy(&args_[(size_t)at], &args, sizeof(args)); // padding that differs costs an update, no more
  }

 private:
  template <class Kernel>
  static void run_as(Card& card, const Launch& launch, const void* args) {
    card.launch<Kernel>(launch.grid, launch.threads, launch.shared_bytes, *(const typename Kernel::Args*)args);
  }
#endif

 private:
  static constexpr size_t MOST_GRAPHS = 8; // numbers of sequences, as a rule; the one unused for longest goes

  struct Kept {
    std::vector<Launch> launches;
    std::vector<Words> args;
    std::unique_ptr<Graph> graph;
  };
  bool run_graph();

  Card& card_;
  bool keeps_ = false, refused_ = false;
  std::vector<Launch> launches_;
  std::vector<Words> args_;
  std::vector<Kept> graphs_; // the last used last
};

} // namespace nextoken::cuda
