#include "gguf/cursor.h"

#include <algorithm>
#include <limits>

#include "base/errors.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF files are little-endian, and so must be the machine"
#endif

namespace nextoken::gguf {

void Cursor::need(uint64_t count, uint64_t size, const Place& place) const {
  uint64_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = std::numeric_limits<uint64_t>::max();
  need(bytes, place);
}

std::string Cursor::read_string(uint64_t limit, const Place& place) {
  std::string text(read_length(limit, place), '\0');
  read_bytes(text.data(), text.size(), place);
  return text;
}

size_t Cursor::read_length(uint64_t limit, const Place& place) {
  const int64_t at = offset();
  const uint64_t length = read<uint64_t>(place);
  if (length > limit) {
    fail(place.text() + " has a length of " + std::to_string(length) + " bytes, at most " + std::to_string(limit) +
             " are allowed",
         place.text(), at);
  }
  need(length, place);
  return size_t(length);
}

void Cursor::fail(const std::string& message, const std::string& field, int64_t offset) const {
  throw FormatError(file_.path() + ": " + message, field, offset, file_.path());
}

void Cursor::fail_short(uint64_t n, const Place& place) const {
  const std::string field = place.text();
  const std::string message = field + " at byte " + std::to_string(offset()) + " needs " + std::to_string(n) +
                              " bytes, " + std::to_string(remaining()) + " remain";
  int64_t expected;
  if (__builtin_add_overflow(offset(), n, &expected)) fail(message, field, offset());
  throw TruncatedError(
      file_.path() + ": " + message + ". The download may be incomplete: compare its size with the source", field,
      offset(), expected, file_.size(), file_.path());
}

void Cursor::read_across(void* into, size_t n, const Place& place) {
  char* out = static_cast<char*>(into);
  const size_t held = filled_ - next_;
  std::memcpy(out, buffer_.data() + next_, held);
  buffer_offset_ += int64_t(filled_);
  next_ = filled_ = 0;
  out += held;
  n -= held;
  if (n >= kBufferBytes) { // straight into its place
    file_.read(out, n, buffer_offset_, place.text());
    buffer_offset_ += int64_t(n);
    return;
  }
  const size_t more = size_t(std::min(int64_t(kBufferBytes), file_.size() - buffer_offset_));
  file_.read(buffer_.data(), more, buffer_offset_, place.text());
  filled_ = more;
  std::memcpy(out, buffer_.data(), n);
  next_ = n;
}

} // namespace nextoken::gguf
