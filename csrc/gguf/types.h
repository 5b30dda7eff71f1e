// The storage types of tensors in GGUF files: number, name, and the size of their blocks.
#pragma once
#include <cstdint>

namespace nextoken::gguf {

/// Values of a type come in blocks of `block_size` consecutive elements of a row, `block_bytes` bytes each.
struct TensorType {
  uint32_t number;
  const char* name;
  int64_t block_size;
  int64_t block_bytes;
};

/// The type with this number, or nullptr if ggml gives it no meaning (any more).
const TensorType* find_type(uint32_t number);

/// The name of a type that ggml has withdrawn (its files must be converted again), or nullptr.
const char* removed_type_name(uint32_t number);

} // namespace nextoken::gguf
