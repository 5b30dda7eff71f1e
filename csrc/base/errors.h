// The exceptions native code throws; bindings/errors.cpp turns each into the Python class of the same meaning.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace nextoken {

/// A file that is not what it claims to be. `offset` is a byte position in the file, or -1; `path` may be empty.
struct FormatError : std::runtime_error {
  FormatError(std::string message, std::string field, int64_t offset = -1, std::string path = {})
      : std::runtime_error(message), field(std::move(field)), offset(offset), path(std::move(path)) {}
  std::string field;
  int64_t offset;
  std::string path;
};

/// The file ends before something it declares: `expected` bytes are needed, `actual` are there.
struct TruncatedError : FormatError {
  TruncatedError(std::string message, std::string field, int64_t offset, int64_t expected, int64_t actual,
                 std::string path = {})
      : FormatError(std::move(message), std::move(field), offset, std::move(path)),
        expected(expected),
        actual(actual) {}
  int64_t expected, actual;
};

/// Well-formed, but something nextoken does not run.
struct UnsupportedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A vocabulary that can not be built, or text that it can not spell.
struct TokenizerError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Sequence longer than the context.
struct ContextLengthError : std::runtime_error {
  ContextLengthError(std::string message, int64_t n_prompt, int64_t n_ctx)
      : std::runtime_error(std::move(message)), n_prompt(n_prompt), n_ctx(n_ctx) {}
  int64_t n_prompt, n_ctx;
};

/// NaN or infinity where arithmetic needs a number.
struct NumericalError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Use after close().
struct ClosedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A model used in a child of the process that loaded it.
struct ForkedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The caller's cancel event was set.
struct CancelledError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A system call on `path` failed with `code` (errno).
struct FileError : std::runtime_error {
  FileError(int code, std::string path) : std::runtime_error(path), code(code), path(std::move(path)) {}
  int code;
  std::string path;
};

/// Not enough memory; the message says how many bytes were needed.
struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

} // namespace nextoken
