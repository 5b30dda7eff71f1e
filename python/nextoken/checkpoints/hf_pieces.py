"""tokenizer.json in the terms of our native tokenizers; what they can not do exactly is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextoken.checkpoints.gguf import shortened
from nextoken.errors import TokenizerError, UnsupportedModelError
from nextoken.pretokenizers import GPT2, without_groups

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = (
    1,
    2,
    3,
    4,
    5,
    6,
)  # kinds of token, as GGUF numbers them
MOST_TOKENS = 1 << 24
SPACE = "▁"
OTHERS = r"[^\s\p{L}\p{N}]+"
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


@dataclass
class Pieces:
    """A vocabulary and how text is spelt with it; `special` holds ids by name where the file itself says them."""

    model: str  # "gpt2": byte-level BPE, "llama": SentencePiece BPE
    tokens: list[bytes]
    kinds: list[int]
    merges: list[bytes] | None = None
    scores: list[float] | None = None
    patterns: tuple[str, ...] = ()
    space_prefix: str = "none"
    whole_words: bool = False
    form: str = ""
    edges: list[tuple[int, int]] = field(default_factory=list)
    adds_bos: bool = False
    adds_eos: bool = False
    special: dict[str, int] = field(default_factory=dict)


def edges_of(token: Mapping[str, Any]) -> int:
    """What an added token does to the text beside it, in the bits of Edge in csrc/tokenizer/tokenizer.h."""
    return sum(
        bit for flag, bit in (("lstrip", 1), ("rstrip", 2), ("single_word", 4)) if token.get(flag) is True
    )


def read_tokenizer_json(values: Mapping[str, Any], path: str) -> Pieces:
    """Raises TokenizerError, naming the field, for what is damaged; UnsupportedModelError for what is not known."""
    return _Reader(values, path).read()


class _Reader:
    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self._values = values
        self._path = path

    def read(self) -> Pieces:
        model = self._object("model")
        kind = model.get("type", "BPE" if "merges" in model else None)
        if kind != "BPE":
            raise self._unsupported("model.type", kind, "BPE")
        for name, default in (
            ("dropout", None),
            ("continuing_subword_prefix", ""),
            ("end_of_word_suffix", ""),
        ):
            if model.get(name) not in (None, default, 0.0):
                raise self._unsupported(f"model.{name}", model[name], "none")
        for name in ("truncation", "padding"):
            if self._values.get(name) is not None:
                raise self._unsupported(name, self._values[name], "none")
        byte_level = self._is_byte_level()
        pieces = Pieces("gpt2" if byte_level else "llama", [], [])
        self._vocabulary(model, pieces)
        self._merges(model, pieces)
        pieces.whole_words = model.get("ignore_merges") is True
        if byte_level:
            self._byte_level(model, pieces)
        else:
            self._sentence_piece(model, pieces)
        self._post_processor(pieces)
        return pieces

    # --- vocabulary --------------------------------------------------------------------------------------------

    def _vocabulary(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        vocab, added = model.get("vocab"), self._values.get("added_tokens", [])
        if not isinstance(vocab, dict) or not vocab:
            raise self._error("model.vocab", "is missing or no object")
        if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
            raise self._error("added_tokens", "is no list of objects")
        ids = [*vocab.values(), *(token.get("id") for token in added)]
        if not all(type(i) is int and 0 <= i < MOST_TOKENS for i in ids):
            raise self._error("model.vocab", "has an id that is no small whole number")
        texts: list[str | None] = [None] * (max(ids) + 1)
        for text, token_id in vocab.items():
            if texts[token_id] is not None:
                raise self._error("model.vocab", f"has the id {token_id} twice")
            texts[token_id] = text
        pieces.kinds = [NORMAL if text else UNUSED for text in texts]
        for token in added:
            self._added(token, texts, vocab, pieces)
        try:
            pieces.tokens = [(text or "").encode() for text in texts]
        except UnicodeEncodeError:
            raise self._error("model.vocab", "has a token with half a character") from None

    def _added(
        self, token: Mapping[str, Any], texts: list[str | None], vocab: Mapping[str, int], pieces: Pieces
    ) -> None:
        text, token_id, special = token.get("content"), token["id"], token.get("special")
        if not isinstance(text, str) or not text or not isinstance(special, bool):
            raise self._error("added_tokens", f"has an entry without content and special, id {token_id}")
        if texts[token_id] not in (None, text) or vocab.get(text, token_id) != token_id:
            raise self._error("added_tokens", f"and model.vocab disagree on id {token_id}")
        if edges := edges_of(token):
            pieces.edges.append((token_id, edges))
        if token.get("normalized") and not special and " " in text and pieces.model == "llama":
            raise self._unsupported(f"normalized of the added token {shortened(text)}", True, "false")
        texts[token_id] = text
        pieces.kinds[token_id] = CONTROL if special else USER_DEFINED

    def _merges(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        merges = model.get("merges")
        if not isinstance(merges, list):
            raise self._error("model.merges", "is missing or no list")
        pieces.merges = []
        for i, merge in enumerate(merges):
            pair = merge.split(" ") if isinstance(merge, str) else merge
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(isinstance(t, str) and t for t in pair)
            ):
                raise self._error("model.merges", f"has no pair of tokens at {i}")
            if " " in pair[0] or " " in pair[1]:
                raise self._unsupported(f"model.merges[{i}]", pair, "tokens without a space")
            pieces.merges.append(f"{pair[0]} {pair[1]}".encode())

    # --- byte-level BPE ----------------------------------------------------------------------------------------

    def _is_byte_level(self) -> bool:
        return any(part.get("type") == "ByteLevel" for part in self._steps("pre_tokenizer", "pretokenizers"))

    def _byte_level(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        for step in self._steps("normalizer", "normalizers"):
            if step.get("type") not in FORMS or pieces.form:
                raise self._unsupported("normalizer", step.get("type"), "one Unicode form for byte-level BPE")
            pieces.form = step["type"]
        if model.get("byte_fallback"):
            raise self._unsupported("model.byte_fallback", True, "false for byte-level BPE")
        patterns: list[str] = []
        *steps, last = self._steps("pre_tokenizer", "pretokenizers")  # not empty: one is ByteLevel
        for step in steps:
            if step.get("type") == "Digits":
                patterns.append(r"\p{N}" if step.get("individual_digits") else r"\p{N}+")
            elif step.get("type") == "Split":
                patterns.append(self._split(step))
            else:
                raise self._unsupported("pre_tokenizer", step.get("type"), "Split, Digits and ByteLevel")
        if last.get("type") != "ByteLevel":
            raise self._unsupported("pre_tokenizer", last.get("type"), "ByteLevel as its last part")
        if last.get("add_prefix_space"):
            raise self._unsupported("pre_tokenizer.add_prefix_space", True, "false")
        if last.get("use_regex", True):
            patterns.append(GPT2)
        pieces.patterns = tuple(patterns)
        if not any(step.get("type") == "ByteLevel" for step in self._steps("decoder", "decoders")):
            raise self._unsupported("decoder", self._type("decoder"), "ByteLevel")

    def _split(self, step: Mapping[str, Any]) -> str:
        pattern = step.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        behavior, invert = step.get("behavior"), step.get("invert", False)
        if not isinstance(regex, str) or not (
            (behavior == "Isolated" and not invert)
            or (behavior == "Removed" and invert is True and regex.endswith(r"|\s+") and OTHERS in regex)
        ):  # where every character is matched, nothing is removed
            raise self._unsupported("pre_tokenizer", step, "Split of an isolated Regex")
        return without_groups(regex)

    # --- SentencePiece BPE -------------------------------------------------------------------------------------

    def _sentence_piece(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        if not model.get("byte_fallback"):
            raise self._unsupported("model.byte_fallback", False, "true, or a ByteLevel pre_tokenizer")
        by_text = {text: i for i, text in enumerate(pieces.tokens)}
        for b in range(256):
            if (token_id := by_text.get(f"<0x{b:02X}>".encode())) is None:
                raise self._unsupported(
                    "model.vocab", f"without <0x{b:02X}>", "byte_fallback with all 256 bytes"
                )
            pieces.kinds[token_id] = BYTE
        unknown = model.get("unk_token")
        if isinstance(unknown, str) and unknown.encode() in by_text:
            pieces.special["unk_token"] = by_text[unknown.encode()]
            pieces.kinds[by_text[unknown.encode()]] = UNKNOWN
        if pieces.whole_words:
            raise self._unsupported("model.ignore_merges", True, "false for SentencePiece BPE")
        replaced, prefix = False, "none"
        for step in self._steps("normalizer", "normalizers"):
            if step == {"type": "Prepend", "prepend": SPACE} and not replaced:
                prefix = "every_start"
            elif step == {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}:
                replaced = True
            else:
                raise self._unsupported("normalizer", step.get("type"), "Prepend and Replace for spaces")
        for step in self._steps("pre_tokenizer", "pretokenizers"):
            if step.get("type") == "Metaspace" and not replaced and step.get("replacement") == SPACE:
                replaced, prefix = True, self._metaspace(step, pieces)
            elif step.get("type") != "Split" or step.get("pattern") != {"String": " "} or not replaced:
                raise self._unsupported("pre_tokenizer", step.get("type"), "Metaspace")
        if not replaced:
            raise self._unsupported("normalizer", self._type("normalizer"), "a Replace of spaces")
        pieces.space_prefix = prefix
        if not any(step.get("type") == "ByteFallback" for step in self._steps("decoder", "decoders")):
            raise self._unsupported("decoder", self._type("decoder"), "ByteFallback")

    def _metaspace(self, step: Mapping[str, Any], pieces: Pieces) -> str:
        if step.get("split", True) and any(SPACE.encode() in text[1:] for text in pieces.tokens):
            raise self._unsupported("pre_tokenizer.split", True, "false where tokens hold several words")
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
        schemes = {"never": "none", "always": "every_start_unless_it", "first": "text_unless_it"}
        if scheme not in schemes:
            raise self._unsupported("pre_tokenizer.prepend_scheme", scheme, ", ".join(schemes))
        return schemes[scheme]

    # --- special tokens around a text --------------------------------------------------------------------------

    def _post_processor(self, pieces: Pieces) -> None:
        for step in self._steps("post_processor", "processors"):
            if step.get("type") == "ByteLevel":
                continue  # about offsets only
            if step.get("type") != "TemplateProcessing" or not isinstance(step.get("single"), list):
                raise self._unsupported(
                    "post_processor", step.get("type"), "TemplateProcessing and ByteLevel"
                )
            parts = [next(iter(part), None) if isinstance(part, dict) else None for part in step["single"]]
            if parts.count("Sequence") != 1 or set(parts) - {"Sequence", "SpecialToken"} or len(parts) > 3:
                raise self._unsupported("post_processor.single", parts, "one sequence between special tokens")
            at = parts.index("Sequence")
            pieces.adds_bos, pieces.adds_eos = at == 1, len(parts) - at == 2
            if at > 1 or len(parts) - at > 2:
                raise self._unsupported("post_processor.single", parts, "one special token on each side")
            by_text = {text: i for i, text in enumerate(pieces.tokens)}
            for name, place in (
                ("bos_token", 0 if at else None),
                ("eos_token", at + 1 if pieces.adds_eos else None),
            ):
                if place is None:
                    continue
                text = step["single"][place]["SpecialToken"].get("id")
                if not isinstance(text, str) or text.encode() not in by_text:
                    raise self._error(
                        "post_processor.single", f"names {shortened(str(text))}, which is no token"
                    )
                pieces.special[name] = by_text[text.encode()]

    # --- the file's parts --------------------------------------------------------------------------------------

    def _object(self, name: str) -> Mapping[str, Any]:
        value = self._values.get(name)
        if not isinstance(value, dict):
            raise self._error(name, "is missing or no object")
        return value

    def _steps(self, name: str, parts: str) -> Sequence[Mapping[str, Any]]:
        """A part of the file as the list of steps it is made of."""
        value = self._values.get(name)
        if value is None:
            return []
        steps = value.get(parts) if isinstance(value, dict) and value.get("type") == "Sequence" else [value]
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise self._error(name, "is no object or list of objects")
        return steps

    def _type(self, name: str) -> Any:
        value = self._values.get(name)
        return value.get("type") if isinstance(value, dict) else value

    def _error(self, field: str, what: str) -> TokenizerError:
        return TokenizerError(f"{self._path}: {field} {what}")

    def _unsupported(self, field: str, found: Any, known: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{self._path}: {field} is {shortened(str(found))}, this version knows {known}"
        )
