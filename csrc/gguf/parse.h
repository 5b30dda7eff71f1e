// The two halves of a header, in the order in which the file has them.
#pragma once
#include "gguf/cursor.h"
#include "gguf/reader.h"

namespace nextoken::gguf {

/// What the smallest metadata entry takes: key length, one letter, value type, one byte.
constexpr int64_t kSmallestEntry = 8 + 1 + 4 + 1;
/// What the smallest entry of the tensor table takes: name length, one letter, dimensions, type, offset.
constexpr int64_t kSmallestTensor = 8 + 1 + 4 + 8 + 4 + 8;

/// Fills `entries`, `by_key` and `alignment`.
void read_metadata(Cursor& cursor, int64_t count, Header& header);

/// Fills `tensors`, `data_offset` and `data_end`. Needs the alignment.
void read_tensor_table(Cursor& cursor, int64_t count, const File& file, Header& header);

} // namespace nextoken::gguf
