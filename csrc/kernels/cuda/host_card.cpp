#include "kernels/cuda/host_card.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "kernels/cuda/cuda_kernels.h"

namespace nextoken::cuda {
namespace {

constexpr int64_t PAGE = 4096;

} // namespace

Card::Card(int64_t total_bytes, bool backwards) : total_(divide_up(total_bytes, PAGE) * PAGE), backwards_(backwards) {
  void* const p = mmap(nullptr, (size_t)total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(p);
}

Card::~Card() { munmap(memory_, (size_t)total_); }

void Card::protect(bool open) {
  const std::lock_guard<std::mutex> lock(mutex_);
  open_ += open ? 1 : -1;
  if (open_ != (open ? 1 : 0)) return;
  if (mprotect(memory_, (size_t)highest_, open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) throw std::bad_alloc();
}

void* Card::allocate(int64_t bytes) {
  // The first gap that is large enough. Pages are whole: nothing of an earlier owner is left in them.
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t size = divide_up(bytes, PAGE) * PAGE;
  int64_t place = 0;
  for (const auto& [taken, length] : taken_) {
    if (taken - place >= size) break;
    place = taken + length;
  }
  if (size > total_ - place) return nullptr;
  taken_[place] = size;
  if (place + size > highest_) highest_ = place + size;
  return memory_ + place;
}

void Card::release(void* p) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = taken_.find(static_cast<char*>(p) - memory_);
  madvise(p, (size_t)found->second, MADV_DONTNEED); // reads as zeros from now on
  taken_.erase(found);
}

int64_t Card::free_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t free = total_;
  for (const auto& range : taken_) free -= range.second;
  return free;
}

void Card::copy(void* to, const void* from, int64_t bytes) {
  const Open open(*this);
  std::memcpy(to, from, (size_t)bytes);
}
void Card::upload(void* to, const void* from, int64_t bytes) { copy(to, from, bytes); }
void Card::download(void* to, const void* from, int64_t bytes) {
  ++n_downloads_;
  downloaded_bytes_ += bytes;
  copy(to, from, bytes);
}

/// Copies as late as it may: what is filled too early would arrive.
class LateStaging : public Staging {
 public:
  LateStaging(Card& card, int64_t bytes) : card_(card) {
    for (Sent& sent : sent_) sent.buffer.resize((size_t)bytes);
  }
  ~LateStaging() override {
    arrive(1 - current_);
    arrive(current_);
  }
  uint8_t* next() override {
    current_ = 1 - current_;
    arrive(current_);
    return sent_[current_].buffer.data();
  }
  void send(void* to, int64_t bytes) override {
    sent_[current_].to = to;
    sent_[current_].bytes = bytes;
  }

 private:
  struct Sent {
    std::vector<uint8_t> buffer;
    void* to = nullptr;
    int64_t bytes = 0;
  };
  void arrive(int i) {
    Sent& sent = sent_[i];
    if (sent.to) card_.copy(sent.to, sent.buffer.data(), sent.bytes);
    std::fill_n(sent.buffer.begin(), sent.to ? sent.bytes : 0, uint8_t{0xee});
    sent.to = nullptr;
  }

  Card& card_;
  int current_ = 1;
  Sent sent_[2];
};

std::unique_ptr<Staging> Card::make_staging(int64_t bytes) { return std::make_unique<LateStaging>(*this, bytes); }

Graph::Graph(Card& card, const std::vector<Launch>& launches, const std::vector<Words>& args)
    : card_(card), launches_(launches), args_(args) {
  ++card_.graphs.made;
}

bool Graph::update(size_t i, const Launch& launch, const Words* args) {
  ++card_.graphs.updates;
  launches_[i] = launch;
  std::memcpy(&args_[(size_t)launch.args_at], args, (size_t)launch.args_bytes);
  return card_.graphs.takes_graphs;
}

bool Graph::launch() {
  ++card_.graphs.launches;
  for (const Launch& launch : launches_) launch.run(card_, launch, &args_[(size_t)launch.args_at]);
  return true;
}

std::vector<int64_t> Laps::take() const {
  std::vector<int64_t> ns;
  for (size_t i = 1; i < marks_.size(); ++i)
    ns.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(marks_[i] - marks_[i - 1]).count());
  return ns;
}

bool Card::multiplies(WeightType type) const { return cuda::multiplies(type); }
std::unique_ptr<Kernels> Card::make_kernels() { return std::make_unique<CudaKernels>(*this); }

} // namespace nextoken::cuda
