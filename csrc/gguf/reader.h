// A GGUF file as the reader found it: metadata and the tensor table, every part of it checked against the file.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/file.h"
#include "gguf/types.h"

namespace nextoken::gguf {

/// The format's own numbers of metadata value types.
enum class ValueType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

/// "u8", "f32", "str" and so on.
const char* name_of(ValueType type);
/// Bytes of one value; 0 for strings and arrays.
int64_t size_of(ValueType type);

/// Strings in one buffer: a vocabulary of 262,144 tokens is two allocations.
class StringArray {
 public:
  StringArray() = default;
  /// `ends[i]` is where string i ends in `bytes`; string i + 1 begins there.
  StringArray(std::string bytes, std::vector<uint64_t> ends) : bytes_(std::move(bytes)), ends_(std::move(ends)) {}

  int64_t size() const { return int64_t(ends_.size()); }
  std::string_view operator[](int64_t i) const {
    const uint64_t begin = i == 0 ? 0 : ends_[size_t(i) - 1];
    return std::string_view(bytes_).substr(begin, ends_[size_t(i)] - begin);
  }

 private:
  std::string bytes_;
  std::vector<uint64_t> ends_;
};

/// Numbers or bools of one type, as they stand in the file.
struct NumberArray {
  ValueType element;
  std::vector<uint8_t> bytes;

  int64_t size() const { return int64_t(bytes.size()) / size_of(element); }
  /// T must be the C++ type of `element`; bool arrays are read as uint8_t.
  template <typename T>
  T at(int64_t i) const {
    T value;
    std::memcpy(&value, bytes.data() + size_t(i) * sizeof(T), sizeof(T));
    return value;
  }
};

struct Value {
  ValueType type;
  int64_t offset; // of the value in the file
  std::variant<uint64_t, int64_t, double, bool, std::string, NumberArray, StringArray> data;

  /// "u32", "str", "arr[str]".
  std::string kind() const;
};

struct Entry {
  std::string key;
  Value value;
};

struct Tensor {
  std::string name;
  int n_dims;
  int64_t shape[4]; // shape[0] is the length of a row; 1 beyond n_dims
  const TensorType* type;
  int64_t offset; // absolute, in the file
  int64_t nbytes;

  int64_t n_elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
};

struct Header {
  uint32_t version = 0;
  int64_t alignment = 32;
  int64_t data_offset = 0;    // where the tensor data begin
  int64_t data_end = 0;       // where the last tensor ends, padding included
  std::vector<Entry> entries; // in the order of the file; keys are unique
  std::vector<Tensor>
      tensors; // in the order of the file; names are unique, byte ranges lie in the file and are disjoint

  std::vector<uint32_t> by_key; // indices of entries, sorted by key

  /// The value of `key`, or nullptr.
  const Value* find(std::string_view key) const;
};

/// Reads and checks everything before the tensor data. Throws FormatError, TruncatedError or UnsupportedError.
Header read_header(const File& file);

/// An open file with its header: what loaders and tokenizers are given.
struct GGUFFile {
  explicit GGUFFile(std::string path) : file(std::move(path)), header(read_header(file)) {}

  /// The array under `key`. Throws FormatError if there is none or it holds something else.
  const StringArray& strings(std::string_view key) const;
  const NumberArray& numbers(std::string_view key, ValueType element) const;

  File file;
  Header header;
};

} // namespace nextoken::gguf
