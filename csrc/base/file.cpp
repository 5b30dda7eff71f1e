#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/errors.h"

namespace nextoken {
namespace {

int64_t modified_ns(const struct stat& s) {
#if defined(__APPLE__)
  return (int64_t)s.st_mtimespec.tv_sec * 1000000000 + s.st_mtimespec.tv_nsec;
#else
  return (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
#endif
}

} // namespace

File::File(const std::string& path) : path_(path) {
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // does not wait for the writer of a FIFO
  if (fd_ < 0) throw FileError(errno, path);
  struct stat s;
  int code = fstat(fd_, &s) != 0 ? errno : S_ISDIR(s.st_mode) ? EISDIR : 0;
  if (code != 0) {
    close(fd_);
    throw FileError(code, path);
  }
  if (!S_ISREG(s.st_mode)) {
    close(fd_);
    throw FormatError(path + ": not a regular file", "file");
  }
  size_ = (int64_t)s.st_size;
  modified_ns_ = modified_ns(s);
  inode_ = (uint64_t)s.st_ino;
}

File::~File() { close(fd_); }

void File::read(int64_t offset, int64_t n, uint8_t* to) const {
  for (int64_t done = 0; done < n;) {
    const ssize_t got = pread(fd_, to + done, (size_t)(n - done), (off_t)(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw FileError(errno, path_);
    if (got == 0) {
      throw TruncatedError(path_ + ": the file became shorter while it was read: " + std::to_string(offset + n) +
                               " bytes needed, " + std::to_string(offset + done) + " are there",
                           "file", offset, offset + n, offset + done);
    }
    done += got;
  }
}

void File::require_unchanged() const {
  struct stat s;
  if (fstat(fd_, &s) != 0) throw FileError(errno, path_);
  if ((int64_t)s.st_size != size_ || modified_ns(s) != modified_ns_ || (uint64_t)s.st_ino != inode_) {
    throw FormatError(path_ + ": the file changed while it was read; load it again", "file");
  }
}

} // namespace nextoken
