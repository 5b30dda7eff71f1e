#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
// clang-format off: the others need it
#include <windows.h>
// clang-format on
#include <fcntl.h>
#include <io.h>
#include <malloc.h>
#include <process.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/system.h"

namespace nextoken::system {
namespace {

HANDLE handle_of(int file) { return reinterpret_cast<HANDLE>(_get_osfhandle(file)); }

uint64_t joined(DWORD high, DWORD low) { return (uint64_t)high << 32 | low; }

} // namespace

int64_t process_id() { return _getpid(); }

int open_file(const std::string& path) {
  std::wstring wide(path.size() + 1, 0); // Python gives paths as UTF-8 here
  if (!MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, wide.data(), (int)wide.size())) {
    errno = ENOENT;
    return -1;
  }
  return _wopen(wide.c_str(), _O_RDONLY | _O_BINARY | _O_NOINHERIT); // EACCES for a directory
}

bool file_state(int file, FileState* state) {
  if (GetFileType(handle_of(file)) != FILE_TYPE_DISK) {
    *state = {"a device or a pipe", false, 0, 0, 0, 0};
    return true;
  }
  BY_HANDLE_FILE_INFORMATION about;
  if (!GetFileInformationByHandle(handle_of(file), &about)) {
    errno = EIO;
    return false;
  }
  const FILETIME& time = about.ftLastWriteTime;
  *state = {nullptr,
            false,
            (int64_t)joined(about.nFileSizeHigh, about.nFileSizeLow),
            (int64_t)joined(time.dwHighDateTime, time.dwLowDateTime),
            about.dwVolumeSerialNumber,
            joined(about.nFileIndexHigh, about.nFileIndexLow)};
  return true;
}

int64_t read_file(int file, void* into, size_t n, int64_t offset) {
  constexpr size_t MOST = size_t(1) << 30;
  OVERLAPPED at{};
  at.Offset = (DWORD)(uint64_t)offset;
  at.OffsetHigh = (DWORD)((uint64_t)offset >> 32);
  DWORD got = 0;
  if (ReadFile(handle_of(file), into, (DWORD)(n < MOST ? n : MOST), &got, &at)) return got;
  if (GetLastError() == ERROR_HANDLE_EOF) return 0;
  errno = EIO;
  return -1;
}

void close_file(int file) { _close(file); }

void* map_pages(int64_t bytes) {
  return VirtualAlloc(nullptr, (SIZE_T)bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void unmap_pages(void* pages, int64_t) { VirtualFree(pages, 0, MEM_RELEASE); }

void prefer_huge_pages(void*, int64_t) {}

void* allocate_aligned(int64_t bytes) { return _aligned_malloc((size_t)bytes, 64); }
void free_aligned(void* memory) { _aligned_free(memory); }

int64_t available_memory() {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  return GlobalMemoryStatusEx(&status) ? (int64_t)status.ullAvailPhys : -1;
}

} // namespace nextoken::system
#endif
