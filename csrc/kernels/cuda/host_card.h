// A card that is none: its memory is the processor's, closed to everybody but kernels and copies, and its kernels are
// walked through by one thread. What would read a card's memory by mistake is stopped by the system.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/host_block.h"
#include "kernels/cuda/launch.h"
#include "kernels/device.h"

namespace nextoken::cuda {

class Card : public Device {
 public:
  /// `backwards`: blocks, and threads within each phase, run in the opposite order.
  Card(int64_t total_bytes, bool backwards);
  ~Card() override;

  void* allocate(int64_t bytes) override;
  void release(void* p) override;
  void copy(void* to, const void* from, int64_t bytes) override;
  void upload(void* to, const void* from, int64_t bytes) override;
  void download(void* to, const void* from, int64_t bytes) override;
  int64_t total_bytes() const override { return total_; }
  int64_t free_bytes() const override;
  std::string name() const override { return "the host launcher"; }
  bool multiplies(WeightType type) const override;
  std::unique_ptr<Staging> make_staging(int64_t bytes) override;
  std::unique_ptr<Kernels> make_kernels() override;

  /// Copies back to the processor so far, and their bytes.
  int64_t n_downloads() const { return n_downloads_; }
  int64_t downloaded_bytes() const { return downloaded_bytes_; }

  /// Throws if something failed on the way here; nothing does.
  void check() {}

  template <class Kernel>
  void launch(Grid grid, int threads, int64_t shared_bytes, const typename Kernel::Args& args) {
    if (grid.x * grid.y * grid.z == 0) return;
    const Open open(*this);
    run_on_host<Kernel>(grid, threads, shared_bytes, backwards_, args);
  }
  template <class Kernel>
  void allow_shared(int64_t) {}
  template <class Kernel>
  static const void* id_of() {
    return (const void*)run_on_host<Kernel>;
  }

  void say(const std::string& text) const {
    if (listener) listener(text);
  }
  std::function<void(const std::string&)> listener;

  /// What happened to graphs so far; with takes_graphs false none can be made.
  struct Graphs {
    std::atomic<int64_t> made{0}, updates{0}, launches{0};
    bool takes_graphs = true;
  } graphs;

 private:
  /// While one of them lives, the memory can be reached.
  struct Open {
    explicit Open(Card& card) : card(card) { card.protect(true); }
    ~Open() { card.protect(false); }
    Card& card;
  };
  void protect(bool open);

  const int64_t total_;
  const bool backwards_;
  char* memory_;
  mutable std::mutex mutex_; // of the members below: caches are freed by any thread
  int64_t highest_ = 0;      // bytes that were ever in use
  int open_ = 0;
  std::atomic<int64_t> n_downloads_{0}, downloaded_bytes_{0};
  std::map<int64_t, int64_t> taken_; // sizes by place
};

/// Here a launch has run when it returns: the processor's clock is the card's.
class Laps {
 public:
  explicit Laps(Card&) {}

  void begin() {
    marks_.clear();
    mark();
  }
  void mark() { marks_.push_back(std::chrono::steady_clock::now()); }
  std::vector<int64_t> take() const;

 private:
  std::vector<std::chrono::steady_clock::time_point> marks_;
};

/// Launches with arguments of its own, as a graph on a card has them.
class Graph {
 public:
  Graph(Card& card, const std::vector<Launch>& launches, const std::vector<Words>& args);

  bool made() const { return card_.graphs.takes_graphs; }
  bool update(size_t i, const Launch& launch, const Words* args);
  bool launch();

 private:
  Card& card_;
  std::vector<Launch> launches_;
  std::vector<Words> args_;
};

} // namespace nextoken::cuda
