// A cache's contents as plain rows and as bytes.
#pragma once
#include <cstdint>
#include <vector>

#include "cache/cache.h"

namespace nextoken {

/// Keys of one layer [T][n_kv_heads][head_dim], or its values [T][n_kv_heads][value_dim], as float.
std::vector<float> read_rows(const Cache& cache, int64_t layer, bool keys);

/// The blocks, one behind the other; places past the last token are zero, so that equal caches give equal bytes.
std::vector<uint8_t> to_bytes(const Cache& cache);

/// Fills an empty cache. Throws FormatError if `n` is not what the ids need or an id is outside the vocabulary, and
/// ContextLengthError if they do not fit.
void from_bytes(Cache& cache, const std::vector<int32_t>& ids, const uint8_t* bytes, int64_t n, int64_t vocab_size);

} // namespace nextoken
