#include "base/buffer.h"

#include <cstring>
#include <string>
#include <utility>

#include "base/errors.h"
#include "base/system.h"

namespace nextoken {
namespace {

constexpr int64_t HUGE_PAGE = int64_t{2} << 20;
constexpr int64_t MAPPED_FROM = int64_t{1} << 20;

[[noreturn]] void out_of_memory(int64_t bytes, const char* what) {
  throw OutOfMemory("not enough memory for " + std::string(what) + ": " + std::to_string(bytes) + " bytes needed");
}

} // namespace

Buffer::Buffer(int64_t bytes, const char* what, int64_t small_pages) : size_(bytes) {
  if (bytes < 0) out_of_memory(bytes, what);
  if (bytes == 0) return;
  if (bytes < MAPPED_FROM) {
    data_ = static_cast<uint8_t*>(system::allocate_aligned((bytes + 63) / 64 * 64));
    if (!data_) out_of_memory(bytes, what);
    std::memset(data_, 0, (size_t)bytes);
    return;
  }
  // Room to start at a huge page where a whole one fits; small buffers do not pay for it.
  mapped_ = bytes < 2 * HUGE_PAGE ? bytes : bytes + HUGE_PAGE;
  void* p = system::map_pages(mapped_);
  if (!p) out_of_memory(bytes, what);
  mapping_ = p;
  data_ = static_cast<uint8_t*>(p);
  if (mapped_ > bytes) {
    data_ += (HUGE_PAGE - (int64_t)(reinterpret_cast<uintptr_t>(p) % HUGE_PAGE)) % HUGE_PAGE;
    system::prefer_huge_pages(data_ + small_pages, bytes - small_pages);
  }
}

Buffer::Buffer(Memory* memory, int64_t bytes, const char* what) {
  if (!memory) {
    *this = Buffer(bytes, what);
    return;
  }
  memory_ = memory;
  size_ = bytes;
  if (bytes == 0) return;
  data_ = bytes < 0 ? nullptr : static_cast<uint8_t*>(memory->allocate(bytes));
  if (!data_) out_of_memory(bytes, (std::string(what) + " on the device").c_str());
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      memory_(std::exchange(other.memory_, nullptr)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(memory_, other.memory_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Buffer::~Buffer() {
  if (memory_) {
    if (data_) memory_->release(data_);
  } else if (mapping_) {
    system::unmap_pages(mapping_, mapped_);
  } else {
    system::free_aligned(data_);
  }
}

void require_memory(int64_t bytes, const char* what) {
  const int64_t available = system::available_memory();
  if (available >= 0 && bytes > available) {
    throw OutOfMemory("not enough memory for " + std::string(what) + ": " + std::to_string(bytes) + " bytes needed, " +
                      std::to_string(available) + " available");
  }
}

} // namespace nextoken
