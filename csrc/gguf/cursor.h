// Reads little-endian values from a file from front to back. Every read is checked against the bytes that remain
// before memory is touched or asked for, so that no length in a file can be believed too early.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/file.h"

namespace nextoken::gguf {

/// What is being read, for messages: a name and, inside an array, an index. Costs nothing until something fails.
struct Place {
  std::string_view name;
  int64_t index = -1;
  std::string text() const {
    return index < 0 ? std::string(name) : std::string(name) + "[" + std::to_string(index) + "]";
  }
};

class Cursor {
 public:
  explicit Cursor(const File& file) : file_(file), buffer_(kBufferBytes) {}

  int64_t offset() const { return buffer_offset_ + int64_t(next_); }
  int64_t remaining() const { return file_.size() - offset(); }

  /// Throws TruncatedError unless `n` more bytes are in the file, FormatError if no file could hold that many.
  void need(uint64_t n, const Place& place) const {
    if (n > uint64_t(remaining())) fail_short(n, place);
  }

  /// Throws TruncatedError unless `count` items of at least `size` bytes each can follow.
  void need(uint64_t count, uint64_t size, const Place& place) const;

  template <typename T>
  T read(const Place& place) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    T value;
    read_bytes(&value, sizeof value, place);
    return value;
  }

  /// Copies the next `n` bytes to `into`.
  void read_bytes(void* into, size_t n, const Place& place) {
    if (n == 0) return;
    need(n, place);
    if (n <= filled_ - next_) {
      std::memcpy(into, buffer_.data() + next_, n);
      next_ += n;
    } else {
      read_across(into, n, place);
    }
  }

  /// A string: 64 bits of length, then that many bytes, at most `limit`.
  std::string read_string(uint64_t limit, const Place& place);

  /// The length of a string, checked against `limit` and against what remains.
  size_t read_length(uint64_t limit, const Place& place);

  /// Throws FormatError: "file: message", at `offset`.
  [[noreturn]] void fail(const std::string& message, const std::string& field, int64_t offset) const;

 private:
  [[noreturn]] void fail_short(uint64_t n, const Place& place) const;
  void read_across(void* into, size_t n, const Place& place);

  static constexpr size_t kBufferBytes = 256 << 10;
  const File& file_;
  std::vector<char> buffer_;
  int64_t buffer_offset_ = 0;    // where in the file the buffer begins
  size_t next_ = 0, filled_ = 0; // within the buffer
};

} // namespace nextoken::gguf
