#include "base/buffer.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/errors.h"

namespace nextoken {
namespace {

constexpr int64_t HUGE_PAGE = int64_t{2} << 20;
constexpr int64_t MAPPED_FROM = int64_t{1} << 20;

[[noreturn]] void out_of_memory(int64_t bytes, const char* what) {
  throw OutOfMemory("not enough memory for " + std::string(what) + ": " + std::to_string(bytes) + " bytes needed");
}

/// A number of bytes in a file of the kernel's, or -1.
int64_t number_in(const char* path) {
  std::ifstream file(path);
  int64_t value;
  return file >> value ? value : -1;
}

int64_t available_memory() {
  int64_t available = -1;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    long long kib;
    if (std::sscanf(line.c_str(), "MemAvailable: %lld kB", &kib) == 1) available = (int64_t)kib * 1024;
  }
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit >= 0 && used >= 0 && (available < 0 || limit - used < available)) {
    // Page cache counts as used and is given up first: it is no reason to refuse.
    int64_t cache = 0;
    std::ifstream stat("/sys/fs/cgroup/memory.stat");
    for (std::string key; stat >> key;) {
      int64_t value;
      if (!(stat >> value)) break;
      if (key == "file") cache = value;
    }
    available = limit - used + cache;
  }
  return available;
}

} // namespace

Buffer::Buffer(int64_t bytes, const char* what) : size_(bytes) {
  if (bytes < 0) out_of_memory(bytes, what);
  if (bytes == 0) return;
  if (bytes < MAPPED_FROM) {
    data_ = static_cast<uint8_t*>(std::aligned_alloc(64, (size_t)((bytes + 63) / 64 * 64)));
    if (!data_) out_of_memory(bytes, what);
    std::memset(data_, 0, (size_t)bytes);
    return;
  }
  // Room to start at a huge page where a whole one fits; small buffers do not pay for it.
  mapped_ = bytes < 2 * HUGE_PAGE ? bytes : bytes + HUGE_PAGE;
  void* p = mmap(nullptr, (size_t)mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) out_of_memory(bytes, what);
  mapping_ = p;
  data_ = static_cast<uint8_t*>(p);
  if (mapped_ > bytes) {
    data_ += (HUGE_PAGE - (int64_t)(reinterpret_cast<uintptr_t>(p) % HUGE_PAGE)) % HUGE_PAGE;
    madvise(data_, (size_t)bytes, MADV_HUGEPAGE);
  }
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Buffer::~Buffer() {
  if (mapping_) {
    munmap(mapping_, (size_t)mapped_);
  } else {
    std::free(data_);
  }
}

void require_memory(int64_t bytes, const char* what) {
  const int64_t available = available_memory();
  if (available >= 0 && bytes > available) {
    throw OutOfMemory("not enough memory for " + std::string(what) + ": " + std::to_string(bytes) + " bytes needed, " +
                      std::to_string(available) + " available");
  }
}

} // namespace nextoken
