#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/errors.h"

namespace nextoken {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "something else";
}

int64_t change_time(const struct stat& s) {
#ifdef __APPLE__
  return int64_t(s.st_mtimespec.tv_sec) * 1000000000 + s.st_mtimespec.tv_nsec;
#else
  return int64_t(s.st_mtim.tv_sec) * 1000000000 + s.st_mtim.tv_nsec;
#endif
}

} // namespace

File::File(std::string path) : path_(std::move(path)) {
  if (std::memchr(path_.data(), 0, path_.size())) throw std::invalid_argument("path contains a NUL character");
  // O_NONBLOCK: opening a FIFO must not wait for its writer. It changes nothing for regular files.
  do {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) throw FileError(errno, path_);
  if (::fstat(fd_, &opened_) != 0) {
    const int code = errno;
    close();
    throw FileError(code, path_);
  }
  if (S_ISREG(opened_.st_mode)) return;
  close();
  if (S_ISDIR(opened_.st_mode)) throw FileError(EISDIR, path_);
  throw FormatError(path_ + ": is " + kind_of(opened_.st_mode) + ", not a regular file", "file", -1, path_);
}

File::~File() { close(); }

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), opened_(other.opened_) {}

void File::read(void* into, size_t n, int64_t offset, const std::string& field) const {
  if (fd_ < 0) throw ClosedError(path_ + ": the file was closed");
  // Linux reads at most 0x7ffff000 bytes a call, macOS INT_MAX.
  constexpr size_t kMost = size_t(1) << 30;
  char* out = static_cast<char*>(into);
  size_t done = 0;
  while (done < n) {
    const ssize_t got = ::pread(fd_, out + done, std::min(n - done, kMost), off_t(offset + int64_t(done)));
    if (got < 0 && errno == EINTR) continue;
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
  struct stat now{};
  if (::fstat(fd_, &now) != 0) throw FileError(errno, path_);
  if (now.st_size < opened_.st_size) {
    throw TruncatedError(path_ + ": the file was cut short while it was read", "file", -1, opened_.st_size, now.st_size,
                         path_);
  }
  if (now.st_size != opened_.st_size || change_time(now) != change_time(opened_)) {
    throw FormatError(path_ + ": the file was changed while it was read", "file", -1, path_);
  }
}

void File::check_same(const File& other) const {
  const struct stat &a = opened_, &b = other.opened_;
  if (a.st_dev != b.st_dev || a.st_ino != b.st_ino || a.st_size != b.st_size || change_time(a) != change_time(b)) {
    throw FormatError(path_ + ": the file was replaced or changed after its header was read", "file", -1, path_);
  }
}

void File::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

} // namespace nextoken
