// Views over memory someone else owns. Plain structs: no inline code that a kernel file could share with portable
// files.
#pragma once
#include <cstdint>

namespace nextoken {

/// `rows` rows of `cols` elements, `stride` elements apart.
template <class T>
struct Rows {
  T* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;

  T* operator[](int64_t i) const { return data + i * stride; }
  Rows slice(int64_t begin, int64_t end) const { return {data + begin * stride, end - begin, cols, stride}; }
  operator Rows<const T>() const { return {data, rows, cols, stride}; }
};

} // namespace nextoken
