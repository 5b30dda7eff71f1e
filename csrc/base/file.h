// A file that is read at given places, and noticed when it changes under the reader.
#pragma once
#include <cstdint>
#include <string>

namespace nextoken {

/// A regular file open for reading; opening never blocks. Throws FileError.
class File {
 public:
  explicit File(const std::string& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  /// Exactly n bytes from offset on; throws TruncatedError if the file has become too short. Safe from many threads.
  void read(int64_t offset, int64_t n, uint8_t* to) const;
  /// Throws FormatError if size, time or identity differ from when it was opened.
  void require_unchanged() const;

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0, modified_ns_ = 0;
  uint64_t inode_ = 0;
};

} // namespace nextoken
