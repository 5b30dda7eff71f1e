#include <algorithm>
#include <numeric>

#include "gguf/parse.h"
#include "gguf/text.h"

namespace nextoken::gguf {
namespace {

constexpr uint64_t kMaxKey = 65535;                // the format's own limit
constexpr uint64_t kMaxString = uint64_t(1) << 28; // a tokenizer.json inside a GGUF takes tens of megabytes
constexpr uint64_t kMaxArray = uint64_t(1) << 28;
constexpr int64_t kMaxAlignment = 65536;

ValueType read_type(Cursor& cursor, const std::string& key) {
  const int64_t at = cursor.offset();
  const uint32_t number = cursor.read<uint32_t>({key});
  if (number > uint32_t(ValueType::F64)) {
    cursor.fail(
        "metadata key " + quoted(key) + " has value type " + std::to_string(number) + ", which GGUF does not define",
        key, at);
  }
  return ValueType(number);
}

void check_bool(const Cursor& cursor, uint8_t byte, const Place& place, int64_t at) {
  if (byte > 1) {
    cursor.fail("metadata key " + place.text() + " is a bool with the value " + std::to_string(byte), place.text(), at);
  }
}

StringArray read_strings(Cursor& cursor, int64_t count, const std::string& key) {
  std::string bytes;
  std::vector<uint64_t> ends;
  ends.reserve(size_t(count));
  for (int64_t i = 0; i < count; ++i) {
    const Place place{key, i};
    const size_t begin = bytes.size(), length = cursor.read_length(kMaxString, place);
    bytes.resize(begin + length);
    cursor.read_bytes(bytes.data() + begin, length, place);
    ends.push_back(bytes.size());
  }
  bytes.shrink_to_fit();
  return {std::move(bytes), std::move(ends)};
}

NumberArray read_numbers(Cursor& cursor, ValueType element, int64_t count, const std::string& key) {
  const int64_t at = cursor.offset();
  NumberArray array{element, std::vector<uint8_t>(size_t(count * size_of(element)))};
  cursor.read_bytes(array.bytes.data(), array.bytes.size(), {key});
  if (element == ValueType::Bool) {
    for (int64_t i = 0; i < count; ++i) check_bool(cursor, array.bytes[size_t(i)], {key, i}, at + i);
  }
  return array;
}

Value read_array(Cursor& cursor, const std::string& key) {
  const int64_t at = cursor.offset();
  const ValueType element = read_type(cursor, key);
  if (element == ValueType::Array) {
    cursor.fail("metadata key " + quoted(key) + " is an array of arrays, which is not supported", key, at);
  }
  const uint64_t count = cursor.read<uint64_t>({key});
  if (count > kMaxArray) {
    cursor.fail("metadata key " + quoted(key) + " is an array of " + std::to_string(count) + " values, at most " +
                    std::to_string(kMaxArray) + " are allowed",
                key, at);
  }
  const bool strings = element == ValueType::String;
  cursor.need(count, strings ? sizeof(uint64_t) : uint64_t(size_of(element)), {key});
  if (strings) return {ValueType::Array, at, read_strings(cursor, int64_t(count), key)};
  return {ValueType::Array, at, read_numbers(cursor, element, int64_t(count), key)};
}

Value read_value(Cursor& cursor, ValueType type, const std::string& key) {
  const Place place{key};
  const int64_t at = cursor.offset();
  switch (type) {
    case ValueType::U8:
      return {type, at, uint64_t(cursor.read<uint8_t>(place))};
    case ValueType::I8:
      return {type, at, int64_t(cursor.read<int8_t>(place))};
    case ValueType::U16:
      return {type, at, uint64_t(cursor.read<uint16_t>(place))};
    case ValueType::I16:
      return {type, at, int64_t(cursor.read<int16_t>(place))};
    case ValueType::U32:
      return {type, at, uint64_t(cursor.read<uint32_t>(place))};
    case ValueType::I32:
      return {type, at, int64_t(cursor.read<int32_t>(place))};
    case ValueType::F32:
      return {type, at, double(cursor.read<float>(place))};
    case ValueType::U64:
      return {type, at, cursor.read<uint64_t>(place)};
    case ValueType::I64:
      return {type, at, cursor.read<int64_t>(place)};
    case ValueType::F64:
      return {type, at, cursor.read<double>(place)};
    case ValueType::String:
      return {type, at, cursor.read_string(kMaxString, place)};
    case ValueType::Array:
      return read_array(cursor, key);
    case ValueType::Bool:
      break;
  }
  const uint8_t byte = cursor.read<uint8_t>(place);
  check_bool(cursor, byte, place, at);
  return {type, at, byte == 1};
}

/// Sorts the keys. Comparing neighbours finds duplicates without a hash that a file could be made to defeat.
void index_keys(const Cursor& cursor, Header& header) {
  const auto& entries = header.entries;
  header.by_key.resize(entries.size());
  std::iota(header.by_key.begin(), header.by_key.end(), 0u);
  std::sort(header.by_key.begin(), header.by_key.end(), [&](uint32_t a, uint32_t b) {
    const int order = entries[a].key.compare(entries[b].key);
    return order < 0 || (order == 0 && a < b);
  });
  for (size_t i = 1; i < entries.size(); ++i) {
    const Entry& entry = entries[header.by_key[i]];
    if (entry.key == entries[header.by_key[i - 1]].key) {
      cursor.fail("metadata key " + quoted(entry.key) + " appears twice", entry.key, entry.value.offset);
    }
  }
}

void set_alignment(const Cursor& cursor, Header& header) {
  static const std::string key = "general.alignment";
  const Value* value = header.find(key);
  if (!value) return;
  if (value->type != ValueType::U32) {
    cursor.fail("metadata key " + key + " has type " + value->kind() + ", u32 was expected", key, value->offset);
  }
  header.alignment = int64_t(std::get<uint64_t>(value->data));
  const bool power_of_two = (header.alignment & (header.alignment - 1)) == 0;
  if (header.alignment < 8 || header.alignment > kMaxAlignment || !power_of_two) {
    cursor.fail("metadata key " + key + " is " + std::to_string(header.alignment) + ", a power of two from 8 to " +
                    std::to_string(kMaxAlignment) + " was expected",
                key, value->offset);
  }
}

} // namespace

void read_metadata(Cursor& cursor, int64_t count, Header& header) {
  header.entries.reserve(size_t(count));
  for (int64_t i = 0; i < count; ++i) {
    const Place place{"metadata key", i};
    const int64_t at = cursor.offset();
    std::string key = cursor.read_string(kMaxKey, place);
    if (!is_clean_name(key)) {
      cursor.fail(place.text() + " is " + quoted(key) + ": a key is UTF-8 text without control characters, not empty",
                  place.text(), at);
    }
    Value value = read_value(cursor, read_type(cursor, key), key);
    header.entries.push_back({std::move(key), std::move(value)});
  }
  index_keys(cursor, header);
  set_alignment(cursor, header);
}

} // namespace nextoken::gguf
