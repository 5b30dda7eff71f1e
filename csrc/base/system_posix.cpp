#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/system.h"

namespace nextoken::system {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISREG(mode)) return nullptr;
  if (S_ISDIR(mode)) return "a directory";
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

/// A number of bytes in a file of the kernel's, or -1.
int64_t number_in(const char* path) {
  std::ifstream file(path);
  int64_t value;
  return file >> value ? value : -1;
}

} // namespace

int64_t process_id() { return getpid(); }

int open_file(const std::string& path) {
  int file;
  do {
    // O_NONBLOCK: opening a FIFO must not wait for its writer. It changes nothing for regular files.
    file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (file < 0 && errno == EINTR);
  return file;
}

bool file_state(int file, FileState* state) {
  struct stat s{};
  if (::fstat(file, &s) != 0) return false;
  *state = {kind_of(s.st_mode), S_ISDIR(s.st_mode), int64_t(s.st_size),
            change_time(s),     uint64_t(s.st_dev), uint64_t(s.st_ino)};
  return true;
}

int64_t read_file(int file, void* into, size_t n, int64_t offset) {
  constexpr size_t MOST = size_t(1) << 30; // Linux reads at most 0x7ffff000 bytes a call, macOS INT_MAX
  for (;;) {
    const ssize_t got = ::pread(file, into, n < MOST ? n : MOST, off_t(offset));
    if (got >= 0 || errno != EINTR) return got;
  }
}

void close_file(int file) { ::close(file); }

void* map_pages(int64_t bytes) {
  void* p = mmap(nullptr, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

void unmap_pages(void* pages, int64_t bytes) { munmap(pages, (size_t)bytes); }

void prefer_huge_pages(void* from, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(from, (size_t)bytes, MADV_HUGEPAGE);
#else
  (void)from, (void)bytes;
#endif
}

void* allocate_aligned(int64_t bytes) { return std::aligned_alloc(64, (size_t)bytes); }
void free_aligned(void* memory) { std::free(memory); }

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

} // namespace nextoken::system
#endif
