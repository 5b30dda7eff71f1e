// Byte-level BPE.
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

namespace nextoken::tokenizer {
namespace {

/// GPT-2's way to write bytes as printable characters: those of Latin-1 that print stand for themselves, the others
/// follow from U+0100 on in order. Radford et al. 2019, encoder.py.
struct ByteAlphabet {
  std::array<uint32_t, 256> character;
  std::array<int, 512> byte;

  ByteAlphabet() {
    byte.fill(-1);
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = prints ? b : next++;
      byte[character[b]] = static_cast<int>(b);
    }
  }

  std::string spell(int b) const {
    const uint32_t c = character[b];
    if (c < 0x80) return std::string(1, static_cast<char>(c));
    return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  }
};

const ByteAlphabet& alphabet() {
  static const ByteAlphabet a;
  return a;
}

} // namespace

ByteLevelTokenizer::ByteLevelTokenizer(Vocabulary vocabulary, const std::vector<std::string_view>& merges,
                                       std::vector<Pattern> words, bool whole_words)
    : Tokenizer(std::move(vocabulary)),
      merges_(read_merges(vocabulary_, merges)),
      words_(std::move(words)),
      whole_words_(whole_words) {
  for (int b = 0; b < 256; ++b) byte_ids_[b] = vocabulary_.find(alphabet().spell(b));
}

std::vector<int> ByteLevelTokenizer::missing_bytes() const {
  std::vector<int> missing;
  for (int b = 0; b < 256; ++b)
    if (byte_ids_[b] < 0) missing.push_back(b);
  return missing;
}

std::string ByteLevelTokenizer::bytes(int32_t id) const {
  const std::string_view text = vocabulary_.text(id);
  if (vocabulary_.kind(id) != TokenKind::normal && vocabulary_.kind(id) != TokenKind::unused) return std::string(text);
  std::string bytes;
  const char *p = text.data(), *end = p + text.size();
  while (p < end) {
    const uint32_t c = next_code_point(p, end);
    if (c >= 512 || alphabet().byte[c] < 0) return std::string(text); // a token outside the alphabet means itself
    bytes.push_back(static_cast<char>(alphabet().byte[c]));
  }
  return bytes;
}

void ByteLevelTokenizer::encode_plain(std::string_view text, bool, std::vector<int32_t>& ids, Poll& poll) const {
  const auto merge_of = [this](const Symbol& left, const Symbol& right) { return merges_.find(left.id, right.id); };
  std::vector<Symbol> symbols;
  HeapQueue heap;
  std::string spelt;
  int64_t words = 0;
  const Pattern* patterns = words_.data();
  split(patterns, patterns + words_.size(), text.data(), text.data() + text.size(),
        [&](const char* p, const char* end) {
          if ((++words & 0x3FFF) == 0) poll();
          if (whole_words_) {
            spelt.clear();
            for (const char* q = p; q < end; ++q) spelt += alphabet().spell(static_cast<unsigned char>(*q));
            const int32_t id = vocabulary_.find(spelt);
            if (ordinary(id)) {
              ids.push_back(id);
              return;
            }
          }
          symbols.clear();
          for (; p < end; ++p) {
            const int32_t id = byte_ids_[static_cast<unsigned char>(*p)], n = static_cast<int32_t>(symbols.size());
            symbols.push_back({n - 1, n + 1, n, 1, id});
          }
          symbols.back().next = -1;
          if (symbols.size() > 4096) {
            LineQueue lines;
            merge_all(symbols, lines, merge_of, poll);
          } else {
            merge_all(symbols, heap, merge_of, poll);
          }
          for (const Symbol& symbol : symbols)
            if (symbol.size > 0 && symbol.id >= 0) ids.push_back(symbol.id);
        });
}

} // namespace nextoken::tokenizer
