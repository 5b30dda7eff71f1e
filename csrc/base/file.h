// A regular file that is read by position and never mapped: one that shrinks under us is an error, not a signal.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/system.h"

namespace nextoken {

class File {
 public:
  /// Opens `path` for reading. Throws FileError if the system refuses, FormatError if it is no regular file (a FIFO or
  /// a device is recognised without waiting for it or reading it), std::invalid_argument if the path holds a NUL.
  explicit File(std::string path);
  ~File();
  File(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  File& operator=(File&&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes in the file when it was opened.
  int64_t size() const { return opened_.size; }

  /// Fills `into` with the `n` bytes at `offset`. Thread-safe. Throws TruncatedError if the file ends before, FileError
  /// if the system fails, ClosedError after close().
  void read(void* into, size_t n, int64_t offset, const std::string& field) const;

  /// Throws FormatError if size, time of change or identity differ from when the file was opened.
  void check_unchanged() const;

  /// Throws FormatError if `other` was not the same file in the same state when it was opened.
  void check_same(const File& other) const;

  /// Gives the descriptor back; size() and path() stay. Twice does nothing. Must not run beside read().
  void close() noexcept;

 private:
  std::string path_;
  int fd_ = -1;
  system::FileState opened_{};
};

} // namespace nextoken
