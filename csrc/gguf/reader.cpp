#include "gguf/reader.h"

#include <algorithm>
#include <array>

#include "base/errors.h"
#include "gguf/cursor.h"
#include "gguf/parse.h"
#include "gguf/text.h"

namespace nextoken::gguf {
namespace {

constexpr int64_t kFixedPart = 24; // magic, version, number of tensors, number of metadata entries
// More than any model has, few enough that what we keep of each stays small beside the file.
constexpr uint64_t kMaxTensors = 65536;
constexpr uint64_t kMaxEntries = 65536;

struct TypeRow {
  const char* name;
  int64_t size;
};
constexpr std::array<TypeRow, 13> kValueTypes = {{{"u8", 1},
                                                  {"i8", 1},
                                                  {"u16", 2},
                                                  {"i16", 2},
                                                  {"u32", 4},
                                                  {"i32", 4},
                                                  {"f32", 4},
                                                  {"bool", 1},
                                                  {"str", 0},
                                                  {"arr", 0},
                                                  {"u64", 8},
                                                  {"i64", 8},
                                                  {"f64", 8}}};

void check_magic(Cursor& cursor, const File& file) {
  char first[64];
  const size_t n = size_t(std::min(file.size(), int64_t(sizeof first)));
  file.read(first, n, 0, "magic");
  const std::string_view begin(first, n);
  const bool good = begin.substr(0, 4) == "GGUF";
  if (file.size() < kFixedPart) {
    throw TruncatedError(file.path() + ": the file has " + std::to_string(file.size()) +
                             " bytes, a GGUF file at least " + std::to_string(kFixedPart) +
                             (good || begin.empty() ? "" : "; " + looks_like(begin)),
                         "header", 0, kFixedPart, file.size(), file.path());
  }
  if (!good) cursor.fail("not a GGUF file: " + looks_like(begin), "magic", 0);
  cursor.read<uint32_t>({"magic"});
}

uint32_t read_version(Cursor& cursor, const File& file) {
  const uint32_t version = cursor.read<uint32_t>({"version"});
  if (version == 2 || version == 3) return version;
  const uint32_t swapped = __builtin_bswap32(version);
  if (swapped >= 1 && swapped <= 255) {
    cursor.fail(
        "this is a big-endian GGUF file (version " + std::to_string(swapped) + "): convert it again, to little-endian",
        "version", 4);
  }
  throw UnsupportedError(file.path() + ": GGUF version " + std::to_string(version) +
                         " is not supported, versions 2 and 3 are");
}

int64_t read_count(Cursor& cursor, uint64_t limit, int64_t smallest, std::string_view field) {
  const int64_t at = cursor.offset();
  const uint64_t count = cursor.read<uint64_t>({field});
  if (count > limit) {
    cursor.fail("the header declares a " + std::string(field) + " of " + std::to_string(count) + ", at most " +
                    std::to_string(limit) + " are allowed",
                std::string(field), at);
  }
  cursor.need(count, uint64_t(smallest), {field});
  return int64_t(count);
}

} // namespace

const char* name_of(ValueType type) { return kValueTypes[size_t(type)].name; }
int64_t size_of(ValueType type) { return kValueTypes[size_t(type)].size; }

std::string Value::kind() const {
  if (std::holds_alternative<StringArray>(data)) return "arr[str]";
  if (const auto* array = std::get_if<NumberArray>(&data)) return std::string("arr[") + name_of(array->element) + "]";
  return name_of(type);
}

const Value* Header::find(std::string_view key) const {
  const auto found = std::lower_bound(by_key.begin(), by_key.end(), key,
                                      [&](uint32_t i, std::string_view wanted) { return entries[i].key < wanted; });
  if (found == by_key.end() || entries[*found].key != key) return nullptr;
  return &entries[*found].value;
}

Header read_header(const File& file) {
  Cursor cursor(file);
  check_magic(cursor, file);
  Header header;
  header.version = read_version(cursor, file);
  const int64_t n_tensors = read_count(cursor, kMaxTensors, kSmallestTensor, "tensor_count");
  const int64_t n_entries = read_count(cursor, kMaxEntries, kSmallestEntry, "kv_count");
  read_metadata(cursor, n_entries, header);
  cursor.need(uint64_t(n_tensors), kSmallestTensor, {"tensor_count"});
  read_tensor_table(cursor, n_tensors, file, header);
  return header;
}

const StringArray& GGUFFile::strings(std::string_view key) const {
  const Value* value = header.find(key);
  if (!value)
    throw FormatError(file.path() + ": metadata key " + std::string(key) + " is missing", std::string(key), -1,
                      file.path());
  if (const auto* array = std::get_if<StringArray>(&value->data)) return *array;
  throw FormatError(
      file.path() + ": metadata key " + std::string(key) + " has type " + value->kind() + ", arr[str] was expected",
      std::string(key), value->offset, file.path());
}

const NumberArray& GGUFFile::numbers(std::string_view key, ValueType element) const {
  const Value* value = header.find(key);
  if (!value)
    throw FormatError(file.path() + ": metadata key " + std::string(key) + " is missing", std::string(key), -1,
                      file.path());
  const auto* array = std::get_if<NumberArray>(&value->data);
  if (array && array->element == element) return *array;
  throw FormatError(file.path() + ": metadata key " + std::string(key) + " has type " + value->kind() + ", arr[" +
                        name_of(element) + "] was expected",
                    std::string(key), value->offset, file.path());
}

} // namespace nextoken::gguf
