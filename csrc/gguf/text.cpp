#include "gguf/text.h"

#include <cctype>
#include <cstdint>
#include <cstring>

namespace nextoken::gguf {
namespace {

/// Takes one code point off the front of `text`; -1 if it is not well-formed UTF-8 (overlong, surrogate, too large).
int32_t take_code_point(std::string_view& text) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : 0; };
  const uint8_t first = byte(0);
  const int length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0) return -1;
  int32_t code = length == 1 ? first : first & (0x7F >> length);
  for (int i = 1; i < length; ++i) {
    if ((byte(size_t(i)) & 0xC0) != 0x80) return -1;
    code = code << 6 | (byte(size_t(i)) & 0x3F);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return -1;
  text.remove_prefix(size_t(length));
  return code;
}

bool starts_with(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

bool is_safetensors(std::string_view first) {
  if (first.size() < 9 || first[8] != '{') return false;
  uint64_t header;
  std::memcpy(&header, first.data(), 8);
  return header >= 2 && header <= 100000000;
}

} // namespace

bool is_clean_name(std::string_view text) {
  if (text.empty()) return false;
  while (!text.empty()) {
    const int32_t code = take_code_point(text);
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
  }
  return true;
}

std::string quoted(std::string_view text) {
  constexpr size_t kMost = 64;
  static const char digits[] = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kMost)) {
    const uint8_t byte = uint8_t(c);
    if (byte >= 0x20 && byte < 0x7F && c != '\'' && c != '\\') {
      out += c;
    } else {
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out + (text.size() > kMost ? "...'" : "'");
}

std::string looks_like(std::string_view first) {
  struct Signature {
    std::string_view bytes;
    const char* meaning;
  };
  // The old llama.cpp formats are 32-bit numbers, so that on disk their letters stand in reverse.
  static const char old_format[] =
      "this is an old llama.cpp file (GGML, GGMF, GGJT or GGLA): convert the model again, to GGUF";
  static const Signature signatures[] = {
      {"version https://git-lfs", "this is a Git LFS pointer; run git lfs pull"},
      {"FUGG", "this is a big-endian GGUF file: convert it again, to little-endian"},
      {"lmgg", old_format},
      {"fmgg", old_format},
      {"tjgg", old_format},
      {"algg", old_format},
      {"GGML", old_format},
      {"GGMF", old_format},
      {"GGJT", old_format},
      {"GGLA", old_format},
      {"PK\x03\x04", "this is a zip archive (perhaps a PyTorch checkpoint): unpack it, or convert the model to GGUF"},
      {"\x1f\x8b", "this is compressed with gzip: decompress it first"},
      {"\x28\xb5\x2f\xfd", "this is compressed with zstd: decompress it first"},
      {"\x80\x02", "this is a Python pickle, which is never opened: convert the model to GGUF"},
      {"\x80\x04", "this is a Python pickle, which is never opened: convert the model to GGUF"},
      {std::string_view("\0\0\0\0", 4), "it begins with zeros: the download may be incomplete"},
  };
  for (const Signature& signature : signatures) {
    if (starts_with(first, signature.bytes)) return signature.meaning;
  }
  if (is_safetensors(first)) return "this is a safetensors file: give the folder that holds it and its config.json";
  if (starts_with(first, "\xEF\xBB\xBF")) first.remove_prefix(3);
  while (!first.empty() && std::isspace(uint8_t(first[0]))) first.remove_prefix(1);
  if (starts_with(first, "<")) return "this is an HTML or XML page, perhaps an error message saved by a download";
  if (starts_with(first, "{"))
    return "this is JSON text: of a config.json give the folder; or perhaps it is an error message saved by a download";
  return "it begins with " + quoted(first.substr(0, 4));
}

} // namespace nextoken::gguf
