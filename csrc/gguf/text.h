// Strings that came from a file: may they be names, and how they are shown in a message.
#pragma once
#include <string>
#include <string_view>

namespace nextoken::gguf {

/// Not empty, valid UTF-8, and free of control characters.
bool is_clean_name(std::string_view text);

/// In single quotes, at most 64 bytes of it, with everything but printable ASCII escaped.
std::string quoted(std::string_view text);

/// What a file is that does not begin with "GGUF", in words and with advice, from its first bytes.
std::string looks_like(std::string_view first_bytes);

} // namespace nextoken::gguf
