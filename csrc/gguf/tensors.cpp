#include <algorithm>
#include <limits>
#include <numeric>

#include "base/errors.h"
#include "gguf/parse.h"
#include "gguf/text.h"

namespace nextoken::gguf {
namespace {

constexpr uint64_t kMaxName = 63; // ggml keeps names in 64 bytes with a NUL
constexpr uint32_t kMaxDims = 4;

class TensorTable {
 public:
  TensorTable(Cursor& cursor, const File& file, Header& header) : cursor_(cursor), file_(file), header_(header) {}

  void read(int64_t count) {
    header_.tensors.reserve(size_t(count));
    for (int64_t i = 0; i < count; ++i) header_.tensors.push_back(read_entry(i));
    check_names();
    place_in_file();
    check_overlap_and_end();
  }

 private:
  Tensor read_entry(int64_t index) {
    Tensor tensor{};
    const Place place{"tensor name", index};
    const int64_t at = cursor_.offset();
    tensor.name = cursor_.read_string(kMaxName, place);
    if (!is_clean_name(tensor.name)) {
      cursor_.fail(
          place.text() + " is " + quoted(tensor.name) + ": a name is UTF-8 text without control characters, not empty",
          place.text(), at);
    }
    read_shape(tensor);
    read_type(tensor);
    const int64_t offset_at = cursor_.offset();
    const uint64_t offset = cursor_.read<uint64_t>({tensor.name});
    if (offset % uint64_t(header_.alignment) != 0) {
      fail(tensor,
           "has offset " + std::to_string(offset) + ", which is no multiple of the alignment " +
               std::to_string(header_.alignment),
           offset_at);
    }
    if (offset > uint64_t(std::numeric_limits<int64_t>::max())) fail_too_large(tensor, offset_at);
    tensor.offset = int64_t(offset); // from the start of the data, until place_in_file()
    return tensor;
  }

  void read_shape(Tensor& tensor) {
    const int64_t at = cursor_.offset();
    const uint32_t n_dims = cursor_.read<uint32_t>({tensor.name});
    if (n_dims < 1 || n_dims > kMaxDims) {
      fail(tensor, "has " + std::to_string(n_dims) + " dimensions, 1 to 4 were expected", at);
    }
    tensor.n_dims = int(n_dims);
    std::fill(tensor.shape, tensor.shape + kMaxDims, 1);
    int64_t product = 1;
    for (int d = 0; d < tensor.n_dims; ++d) {
      const uint64_t n = cursor_.read<uint64_t>({tensor.name});
      if (n == 0 || n > uint64_t(std::numeric_limits<int64_t>::max())) {
        fail(tensor, "has " + std::to_string(n) + " elements in dimension " + std::to_string(d), at);
      }
      tensor.shape[d] = int64_t(n);
      if (__builtin_mul_overflow(product, tensor.shape[d], &product)) fail_too_large(tensor, at);
    }
  }

  void read_type(Tensor& tensor) {
    const int64_t at = cursor_.offset();
    const uint32_t number = cursor_.read<uint32_t>({tensor.name});
    tensor.type = find_type(number);
    if (!tensor.type) {
      const char* removed = removed_type_name(number);
      throw UnsupportedError(file_.path() + ": tensor " + quoted(tensor.name) + " has type number " +
                             std::to_string(number) +
                             (removed ? std::string(" (") + removed + ", withdrawn from ggml): convert the model again"
                                      : std::string(", which is not known")));
    }
    const int64_t row = tensor.shape[0], block = tensor.type->block_size;
    if (row % block != 0) {
      fail(tensor,
           "has rows of " + std::to_string(row) + " elements, no multiple of the " + std::to_string(block) +
               " in a block of " + tensor.type->name,
           at);
    }
    // n_elements() did not overflow, and neither does a number of blocks; their bytes might.
    if (__builtin_mul_overflow(tensor.n_elements() / block, tensor.type->block_bytes, &tensor.nbytes)) {
      fail_too_large(tensor, at);
    }
  }

  void check_names() {
    std::vector<uint32_t> order = sorted([](const Tensor& a, const Tensor& b) { return a.name.compare(b.name); });
    for (size_t i = 1; i < order.size(); ++i) {
      const Tensor& tensor = header_.tensors[order[i]];
      if (tensor.name == header_.tensors[order[i - 1]].name) {
        fail(tensor,
             "appears twice (tensors " + std::to_string(order[i - 1]) + " and " + std::to_string(order[i]) + ")", -1);
      }
    }
  }

  /// Offsets become positions in the file, each with room for the tensor and its padding below 2^63.
  void place_in_file() {
    const int64_t mask = header_.alignment - 1;
    header_.data_offset = (cursor_.offset() + mask) & ~mask;
    header_.data_end = header_.data_offset;
    for (Tensor& tensor : header_.tensors) {
      int64_t end;
      if (__builtin_add_overflow(tensor.offset, header_.data_offset, &tensor.offset) ||
          __builtin_add_overflow(tensor.offset, tensor.nbytes, &end) || __builtin_add_overflow(end, mask, &end)) {
        fail_too_large(tensor, -1);
      }
      header_.data_end = std::max(header_.data_end, end & ~mask);
    }
  }

  void check_overlap_and_end() {
    const auto by_offset = [](const Tensor& a, const Tensor& b) {
      return a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0;
    };
    const Tensor* before = nullptr;
    const Tensor* past_end = nullptr;
    int64_t expected = 0;
    for (const uint32_t i : sorted(by_offset)) {
      const Tensor& tensor = header_.tensors[i];
      if (before && before->offset + before->nbytes > tensor.offset) {
        fail(tensor, "at byte " + std::to_string(tensor.offset) + " overlaps " + quoted(before->name), tensor.offset);
      }
      before = &tensor;
      expected = tensor.offset + tensor.nbytes;
      if (!past_end && expected > file_.size()) past_end = &tensor;
    }
    if (!past_end) return;
    const int64_t remain = std::max(file_.size() - past_end->offset, int64_t(0));
    throw TruncatedError(file_.path() + ": tensor " + quoted(past_end->name) + " at byte " +
                             std::to_string(past_end->offset) + " needs " + std::to_string(past_end->nbytes) +
                             " bytes, " + std::to_string(remain) +
                             " remain. The download may be incomplete: compare its size with the source",
                         past_end->name, past_end->offset, expected, file_.size(), file_.path());
  }

  /// Indices of the tensors in the order of `compare` (as strcmp), then of the file.
  template <typename Compare>
  std::vector<uint32_t> sorted(Compare compare) const {
    std::vector<uint32_t> order(header_.tensors.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const int by = compare(header_.tensors[a], header_.tensors[b]);
      return by < 0 || (by == 0 && a < b);
    });
    return order;
  }

  [[noreturn]] void fail(const Tensor& tensor, const std::string& what, int64_t at) const {
    cursor_.fail("tensor " + quoted(tensor.name) + " " + what, tensor.name, at);
  }
  [[noreturn]] void fail_too_large(const Tensor& tensor, int64_t at) const {
    fail(tensor, "is larger than any file", at);
  }

  Cursor& cursor_;
  const File& file_;
  Header& header_;
};

} // namespace

void read_tensor_table(Cursor& cursor, int64_t count, const File& file, Header& header) {
  TensorTable(cursor, file, header).read(count);
}

} // namespace nextoken::gguf
