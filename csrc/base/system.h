// What nextoken asks of the operating system; system_posix.cpp and system_windows.cpp answer. Nothing else in the
// native code differs from one system to another, save the detection of processors in cpu.cpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace nextoken::system {

int64_t process_id();

/// What there is to know of an open file. `kind` is null for a regular one, else what it is instead.
struct FileState {
  const char* kind;
  bool is_directory;
  int64_t size, changed; // bytes; time of the last change in the finest unit there is
  uint64_t device, number;

  bool same_file(const FileState& other) const { return device == other.device && number == other.number; }
};

/// Opens for reading without waiting for whoever should write. Returns -1, with the cause in errno, if that fails.
int open_file(const std::string& path);
/// Returns false, with the cause in errno, if the system fails.
bool file_state(int file, FileState* state);
/// Reads up to n bytes at `offset`: how many there were, 0 at the end of the file, -1 with the cause in errno.
int64_t read_file(int file, void* into, size_t n, int64_t offset);
void close_file(int file);

/// Zeroed pages, or null; unmapped with the same number of bytes.
void* map_pages(int64_t bytes);
void unmap_pages(void* pages, int64_t bytes);
/// Asks for huge pages in part of a mapping, where the system has them.
void prefer_huge_pages(void* from, int64_t bytes);
/// 64-byte aligned, not zeroed, or null; `bytes` is a multiple of 64.
void* allocate_aligned(int64_t bytes);
void free_aligned(void* memory);
/// Bytes that can still be used, of the machine and of the control group around us; -1 where nobody knows.
int64_t available_memory();

} // namespace nextoken::system
