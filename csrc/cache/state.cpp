#include "cache/state.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/errors.h"
#include "kernels/table.h"

namespace nextoken {
namespace {

void read_block(const Cache& cache, int64_t block, uint8_t* to) {
  const int64_t n = cache.shape().block_bytes();
  if (cache.memory())
    cache.memory()->download(to, cache.block_data(block), n);
  else
    std::memcpy(to, cache.block_data(block), (size_t)n);
}

void write_block(const Cache& cache, int64_t block, const uint8_t* from) {
  const int64_t n = cache.shape().block_bytes();
  if (cache.memory())
    cache.memory()->upload(cache.block_data(block), from, n);
  else
    std::memcpy(cache.block_data(block), from, (size_t)n);
}

} // namespace

std::vector<float> read_rows(const Cache& cache, int64_t layer, bool keys) {
  const KernelTable& table = kernel_table();
  const KvShape& shape = cache.shape();
  const int64_t width = keys ? shape.head_dim : shape.value_dim(), row_size = shape.n_kv_heads * width;
  std::vector<float> rows((size_t)(cache.length() * row_size)), k_row((size_t)shape.head_dim), v_row = k_row;
  const Buffer copy(cache.memory() ? shape.block_bytes() : 0, "a block of the KV cache");
  for (int64_t t = 0; t < cache.length(); ++t) {
    const uint8_t* block = cache.block_data(t / KV_BLOCK);
    if (cache.memory()) {
      if (t % KV_BLOCK == 0) read_block(cache, t / KV_BLOCK, copy.data());
      block = copy.data();
    }
    for (int64_t head = 0; head < shape.n_kv_heads; ++head) {
      const uint8_t* const k = block + (layer * shape.n_kv_heads + head) * (shape.k_bytes() + shape.v_bytes());
      if (shape.latent_dim)
        table.latent_read(shape.type, k, shape.head_dim, shape.latent_dim, t % KV_BLOCK, k_row.data());
      else
        table.kv_read(shape.type, k, k + shape.k_bytes(), shape.head_dim, t % KV_BLOCK, k_row.data(), v_row.data());
      const std::vector<float>& row = keys || shape.latent_dim ? k_row : v_row;
      std::copy(row.begin(), row.begin() + width, rows.begin() + t * row_size + head * width);
    }
  }
  return rows;
}

std::vector<uint8_t> to_bytes(const Cache& cache) {
  const KernelTable& table = kernel_table();
  const KvShape& shape = cache.shape();
  const int64_t block_bytes = shape.block_bytes();
  std::vector<uint8_t> bytes((size_t)cache.nbytes());
  // A copy of the block table's contents in which the places past the last token are overwritten.
  for (int64_t b = 0; b < cache.n_blocks(); ++b) read_block(cache, b, bytes.data() + b * block_bytes);
  const std::vector<float> zeros((size_t)shape.head_dim);
  for (int64_t t = cache.length(); t < cache.n_blocks() * KV_BLOCK; ++t) {
    for (int64_t head = 0; head < shape.n_layers * shape.n_kv_heads; ++head) {
      uint8_t* const k = bytes.data() + t / KV_BLOCK * block_bytes + head * (shape.k_bytes() + shape.v_bytes());
      if (shape.latent_dim)
        table.latent_write(shape.type, zeros.data(), shape.head_dim, shape.latent_dim, t % KV_BLOCK, k);
      else
        table.kv_write(shape.type, zeros.data(), zeros.data(), shape.head_dim, t % KV_BLOCK, k, k + shape.k_bytes());
    }
  }
  return bytes;
}

void from_bytes(Cache& cache, const std::vector<int32_t>& ids, const uint8_t* bytes, int64_t n, int64_t vocab_size) {
  const int64_t length = (int64_t)ids.size(), n_blocks = (length + KV_BLOCK - 1) / KV_BLOCK;
  if (length > cache.n_ctx()) {
    throw ContextLengthError(
        "the saved session holds " + std::to_string(length) + " tokens, the context " + std::to_string(cache.n_ctx()),
        length, cache.n_ctx());
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      throw FormatError(
          "ids: token id " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(vocab_size), "ids");
    }
  }
  const int64_t needed = n_blocks * cache.shape().block_bytes();
  if (n != needed) {
    throw FormatError("data: " + std::to_string(length) + " tokens need " + std::to_string(needed) + " bytes, not " +
                          std::to_string(n),
                      "data");
  }
  cache.reserve(length);
  for (int64_t b = 0; b < n_blocks; ++b) write_block(cache, b, bytes + b * cache.shape().block_bytes());
  cache.commit(ids.data(), length);
}

} // namespace nextoken
