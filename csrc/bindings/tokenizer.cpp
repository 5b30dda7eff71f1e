// Tokenizers over vocabularies: text as UTF-8 bytes in, ids out, and back.
#include "tokenizer/tokenizer.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <cstring>
#include <optional>

#include "base/errors.h"
#include "bindings.h"
#include "gguf/reader.h"
#include "tokenizer/chars_map.h"
#include "tokenizer/unigram.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

using tokenizer::ByteLevelTokenizer;
using tokenizer::CharsMap;
using tokenizer::SentencePieceTokenizer;
using tokenizer::Tokenizer;
using tokenizer::TokenKind;
using tokenizer::UnigramTokenizer;
using tokenizer::Vocabulary;

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

using Texts = py::typing::Union<py::typing::List<py::bytes>, gguf::StringArray>;

struct SignalPoll : Poll {
  void operator()() override {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
};

/// Views of the items of a list of bytes or of a file's strings; they live as long as it does.
std::vector<std::string_view> views(const py::object& texts) {
  std::vector<std::string_view> views;
  if (py::isinstance<gguf::StringArray>(texts)) {
    const auto& strings = texts.cast<const gguf::StringArray&>();
    views.reserve(size_t(strings.size()));
    for (int64_t i = 0; i < strings.size(); ++i) views.push_back(strings[i]);
    return views;
  }
  const py::list list = texts;
  views.reserve(list.size());
  for (const py::handle item : list) {
    if (!PyBytes_Check(item.ptr())) throw py::type_error("token texts must be bytes");
    views.emplace_back(PyBytes_AS_STRING(item.ptr()), PyBytes_GET_SIZE(item.ptr()));
  }
  return views;
}

Vocabulary vocabulary_of(const std::vector<std::string_view>& texts, const Array<uint8_t>& kinds,
                         const std::vector<std::string>& control_names) {
  if (kinds.ndim() != 1 || kinds.size() != static_cast<py::ssize_t>(texts.size()))
    throw py::value_error("kinds must have one entry a token");
  int64_t n_bytes = 0;
  for (const std::string_view text : texts) n_bytes += static_cast<int64_t>(text.size());
  Vocabulary vocabulary(static_cast<int64_t>(texts.size()), n_bytes);
  for (size_t id = 0; id < texts.size(); ++id) {
    const uint8_t kind = kinds.data()[id];
    if (kind > static_cast<uint8_t>(TokenKind::byte)) throw py::value_error("kinds must be 0 to 6");
    vocabulary.add(texts[id], static_cast<TokenKind>(kind));
  }
  for (const std::string& name : control_names) {
    const int32_t id = vocabulary.find(name);
    if (id >= 0) vocabulary.set_kind(id, TokenKind::control);
  }
  return vocabulary;
}

int32_t checked(const Tokenizer& self, int64_t id) {
  if (id < 0 || id >= self.vocabulary().size())
    throw py::value_error("token id " + std::to_string(id) + " is not in 0.." +
                          std::to_string(self.vocabulary().size() - 1));
  return static_cast<int32_t>(id);
}

py::list encode(const Tokenizer& self, const py::bytes& text, bool parse_special, bool starts) {
  const std::string_view utf8 = text;
  std::vector<int32_t> ids;
  {
    const py::gil_scoped_release release;
    SignalPoll poll;
    ids = self.encode(utf8, parse_special, starts, poll);
  }
  py::list list(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) PyList_SET_ITEM(list.ptr(), i, PyLong_FromLong(ids[i]));
  return list;
}

py::bytes decode(const Tokenizer& self, const std::vector<int64_t>& ids, bool skip_special) {
  std::string bytes;
  for (const int64_t id : ids) {
    const TokenKind kind = self.vocabulary().kind(checked(self, id));
    if (!skip_special || (kind != TokenKind::control && kind != TokenKind::unknown))
      bytes += self.bytes(static_cast<int32_t>(id));
  }
  return bytes;
}

py::list merge_texts(const Vocabulary& vocabulary, const tokenizer::MergeTable& merges) {
  py::list list;
  for (const auto& [left, right, id] : merges.pairs())
    list.append(py::bytes(std::string(vocabulary.text(left)) + " " + std::string(vocabulary.text(right))));
  return list;
}

tokenizer::SpacePrefix space_prefix(const std::string& name) {
  using tokenizer::SpacePrefix;
  if (name == "none") return SpacePrefix::none;
  if (name == "every_start") return SpacePrefix::every_start;
  if (name == "every_start_unless_it") return SpacePrefix::every_start_unless_it;
  if (name == "text_unless_it") return SpacePrefix::text_unless_it;
  if (name == "every_word") return SpacePrefix::every_word;
  throw py::value_error("no such prefix: " + name);
}

UnigramTokenizer::Sums sums(const std::string& name) {
  using Sums = UnigramTokenizer::Sums;
  if (name == "floats") return Sums::floats;
  if (name == "doubles") return Sums::doubles;
  if (name == "doubles_by_word") return Sums::doubles_by_word;
  throw py::value_error("no such sums: " + name);
}

Tokenizer::Which which(const std::string& name) {
  if (name == "control") return Tokenizer::Which::control;
  if (name == "user_defined") return Tokenizer::Which::user_defined;
  if (name == "all") return Tokenizer::Which::all;
  throw py::value_error("no such special tokens: " + name);
}

py::list texts(const Tokenizer& self) {
  py::list list(self.vocabulary().size());
  for (int32_t id = 0; id < self.vocabulary().size(); ++id)
    list[id] = py::bytes(std::string(self.vocabulary().text(id)));
  return list;
}

} // namespace

void bind_tokenizer(py::module_& m) {
  py::class_<Tokenizer>(m, "Tokenizer", "Text as UTF-8 bytes to token ids, and back. Immutable; safe in many threads.")
      .def("encode", &encode, py::arg("text"), py::arg("parse_special"), py::arg("starts") = true,
           "Ids of UTF-8 bytes; `starts`: nothing stands before them. The GIL is released; Ctrl-C is seen.")
      .def(
          "special_spans",
          [](const Tokenizer& self, const py::bytes& text, const std::string& tokens, bool edges) {
            py::list spans;
            for (const auto& span : self.spans(std::string_view(text), which(tokens), edges))
              spans.append(py::make_tuple(span.begin, span.end, span.id));
            return spans;
          },
          py::arg("text"), py::arg("tokens"), py::arg("edges") = false,
          "(begin, end, id) in bytes, wherever a special token is spelt; with `edges` and the white space it takes. "
          "tokens: 'control', 'user_defined' or 'all'.")
      .def(
          "set_edges",
          [](Tokenizer& self, int64_t id, int edges) {
            if (edges < 0 || edges > 7) throw py::value_error("edges must be 0 to 7");
            self.set_edges(checked(self, id), static_cast<uint8_t>(edges));
          },
          py::arg("id"), py::arg("edges"),
          "A special token takes white space on its left (1) or right (2) along, or is none within a word (4). To be "
          "called before anything is encoded.")
      .def(
          "begins_control",
          [](const Tokenizer& self, const py::bytes& text) { return self.begins_control(std::string_view(text)); },
          py::arg("text"), "Whether the text could be the beginning of a control token.")
      .def("decode", &decode, py::arg("ids"), py::arg("skip_special"), "The bytes of all ids, joined.")
      .def(
          "token_bytes", [](const Tokenizer& self, int64_t id) { return py::bytes(self.bytes(checked(self, id))); },
          py::arg("id"))
      .def(
          "find", [](const Tokenizer& self, const std::string& text) { return self.vocabulary().find(text); },
          py::arg("text"), "The lowest id whose text, as the file spells it, is `text`; -1 if there is none.")
      .def(
          "kind",
          [](const Tokenizer& self, int64_t id) { return static_cast<int>(self.vocabulary().kind(checked(self, id))); },
          py::arg("id"), "The token's kind, as a number of tokenizer.ggml.token_type.")
      .def("__len__", [](const Tokenizer& self) { return self.vocabulary().size(); })
      .def("texts", &texts, "The texts of all tokens, as the file spells them.")
      .def("kinds", [](const Tokenizer& self) {
        Array<uint8_t> kinds(self.vocabulary().size());
        for (int32_t id = 0; id < self.vocabulary().size(); ++id)
          kinds.mutable_data()[id] = static_cast<uint8_t>(self.vocabulary().kind(id));
        return kinds;
      });

  py::class_<ByteLevelTokenizer, Tokenizer>(m, "ByteLevelTokenizer", "Byte-level BPE, as GPT-2 has it.")
      .def(py::init([](const Texts& tokens, const Array<uint8_t>& kinds, const std::vector<std::string>& control_names,
                       const Texts& merges, const std::vector<std::string>& patterns, bool whole_words) {
             std::vector<tokenizer::Pattern> words(patterns.begin(), patterns.end());
             const auto token_views = views(tokens), merge_views = views(merges);
             const py::gil_scoped_release release;
             return std::make_unique<ByteLevelTokenizer>(vocabulary_of(token_views, kinds, control_names), merge_views,
                                                         std::move(words), whole_words);
           }),
           py::arg("tokens"), py::arg("kinds"), py::arg("control_names"), py::arg("merges"), py::arg("patterns"),
           py::arg("whole_words") = false)
      .def("missing_bytes", &ByteLevelTokenizer::missing_bytes, "The bytes that no token stands for.")
      .def("merges", [](const ByteLevelTokenizer& self) { return merge_texts(self.vocabulary(), self.merges()); });

  py::class_<SentencePieceTokenizer, Tokenizer>(m, "SentencePieceTokenizer", "SentencePiece BPE with byte fallback.")
      .def(py::init([](const Texts& tokens, const Array<uint8_t>& kinds, const std::vector<std::string>& control_names,
                       const std::optional<Array<float>>& scores, const std::optional<Texts>& merges,
                       const std::string& prefix, int32_t unknown) {
             const auto token_views = views(tokens);
             if (scores.has_value() == merges.has_value()) throw py::value_error("either scores or merges are needed");
             if (scores && (scores->ndim() != 1 || scores->size() != static_cast<py::ssize_t>(token_views.size())))
               throw py::value_error("scores must have one entry a token");
             if (unknown >= static_cast<int64_t>(token_views.size()))
               throw py::value_error("unknown is not a token id");
             const auto where = space_prefix(prefix);
             std::vector<float> copy;
             if (scores) copy.assign(scores->data(), scores->data() + scores->size());
             const auto merge_views = merges ? views(*merges) : std::vector<std::string_view>();
             const py::gil_scoped_release release;
             Vocabulary vocabulary = vocabulary_of(token_views, kinds, control_names);
             if (!scores)
               return std::make_unique<SentencePieceTokenizer>(std::move(vocabulary), merge_views, where, unknown);
             return std::make_unique<SentencePieceTokenizer>(std::move(vocabulary), std::move(copy), where, unknown);
           }),
           py::arg("tokens"), py::arg("kinds"), py::arg("control_names"), py::arg("scores"), py::arg("merges"),
           py::arg("prefix"), py::arg("unknown"),
           "prefix: 'none', 'every_start', 'every_start_unless_it' or 'text_unless_it', where a space is put in front.")
      .def("merges",
           [](const SentencePieceTokenizer& self) -> std::optional<py::list> {
             if (!self.merges()) return std::nullopt;
             return merge_texts(self.vocabulary(), *self.merges());
           })
      .def("scores", [](const SentencePieceTokenizer& self) -> std::optional<Array<float>> {
        if (self.merges()) return std::nullopt;
        Array<float> scores(static_cast<py::ssize_t>(self.scores().size()));
        std::memcpy(scores.mutable_data(), self.scores().data(), self.scores().size() * sizeof(float));
        return scores;
      });

  py::class_<UnigramTokenizer, Tokenizer>(m, "UnigramTokenizer", "SentencePiece's Unigram: the most likely spelling.")
      .def(
          py::init([](const Texts& tokens, const Array<uint8_t>& kinds, const std::vector<std::string>& control_names,
                      const Array<double>& scores, const std::string& prefix, int32_t unknown, const std::string& how) {
            const auto token_views = views(tokens);
            if (scores.ndim() != 1 || scores.size() != static_cast<py::ssize_t>(token_views.size()))
              throw py::value_error("scores must have one entry a token");
            if (unknown >= static_cast<int64_t>(token_views.size())) throw py::value_error("unknown is not a token id");
            std::vector<double> copy(scores.data(), scores.data() + scores.size());
            const auto where = space_prefix(prefix);
            const auto summed = sums(how);
            const py::gil_scoped_release release;
            return std::make_unique<UnigramTokenizer>(vocabulary_of(token_views, kinds, control_names), std::move(copy),
                                                      where, unknown, summed);
          }),
          py::arg("tokens"), py::arg("kinds"), py::arg("control_names"), py::arg("scores"), py::arg("prefix"),
          py::arg("unknown"), py::arg("sums"),
          "prefix: as of SentencePieceTokenizer, or 'every_word'. sums: 'floats', 'doubles' or 'doubles_by_word'.")
      .def("scores", [](const UnigramTokenizer& self) {
        return Array<double>(static_cast<py::ssize_t>(self.scores().size()), self.scores().data());
      });

  py::class_<CharsMap>(m, "CharsMap", "The precompiled map of characters that SentencePiece models carry.")
      .def(py::init([](const py::bytes& blob) { return CharsMap(std::string_view(blob)); }), py::arg("blob"))
      .def(
          "apply",
          [](const CharsMap& self, const py::bytes& text, bool clusters) {
            const std::string_view utf8 = text;
            std::string mapped;
            {
              const py::gil_scoped_release release;
              mapped = self.apply(utf8, clusters ? CharsMap::Match::clusters : CharsMap::Match::longest);
            }
            return py::bytes(mapped);
          },
          py::arg("text"), py::arg("clusters"),
          "UTF-8 bytes with what the map has instead: of the longest texts it knows, or cluster by cluster.");
}

} // namespace nextoken::bindings
