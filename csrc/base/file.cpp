#include "base/file.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/errors.h"

namespace nextoken {

File::File(std::string path) : path_(std::move(path)) {
  if (std::memchr(path_.data(), 0, path_.size())) throw std::invalid_argument("path contains a NUL character");
  fd_ = system::open_file(path_);
  if (fd_ < 0) throw FileError(errno, path_);
  if (!system::file_state(fd_, &opened_)) {
    const int code = errno;
    close();
    throw FileError(code, path_);
  }
  if (!opened_.kind) return;
  close();
  if (opened_.is_directory) throw FileError(EISDIR, path_);
  throw FormatError(path_ + ": is " + opened_.kind + ", not a regular file", "file", -1, path_);
}

File::~File() { close(); }

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), opened_(other.opened_) {}

void File::read(void* into, size_t n, int64_t offset, const std::string& field) const {
  if (fd_ < 0) throw ClosedError(path_ + ": the file was closed");
  char* out = static_cast<char*>(into);
  size_t done = 0;
  while (done < n) {
    const int64_t got = system::read_file(fd_, out + done, n - done, offset + int64_t(done));
    if (got < 0) throw FileError(errno, path_);
    if (got == 0) {
      const int64_t actual = offset + int64_t(done), expected = offset + int64_t(n);
      throw TruncatedError(path_ + ": " + field + " at byte " + std::to_string(offset) + " needs " + std::to_string(n) +
                               " bytes, the file now ends at byte " + std::to_string(actual),
                           field, offset, expected, actual, path_);
    }
    done += size_t(got);
  }
}

void File::check_unchanged() const {
  if (fd_ < 0) throw ClosedError(path_ + ": the file was closed");
  system::FileState now;
  if (!system::file_state(fd_, &now)) throw FileError(errno, path_);
  if (now.size < opened_.size) {
    throw TruncatedError(path_ + ": the file was cut short while it was read", "file", -1, opened_.size, now.size,
                         path_);
  }
  if (now.size != opened_.size || now.changed != opened_.changed) {
    throw FormatError(path_ + ": the file was changed while it was read", "file", -1, path_);
  }
}

void File::check_same(const File& other) const {
  const system::FileState &a = opened_, &b = other.opened_;
  if (!a.same_file(b) || a.size != b.size || a.changed != b.changed) {
    throw FormatError(path_ + ": the file was replaced or changed after its header was read", "file", -1, path_);
  }
}

void File::close() noexcept {
  if (fd_ >= 0) system::close_file(std::exchange(fd_, -1));
}

} // namespace nextoken
