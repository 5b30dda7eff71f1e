"""What all kinds of tokenizer.json share: the file's parts, added tokens, spaces, and what stands around a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextoken.checkpoints.gguf import shortened
from nextoken.errors import TokenizerError, UnsupportedModelError
from nextoken.normalizer import SPACE, Step

# Kinds of token, as GGUF numbers them.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
MOST_TOKENS = 1 << 24
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
SPACE_REPLACED = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


@dataclass
class Pieces:
    """A vocabulary and how text is spelt with it; `special` holds ids by name where the file itself says them."""

    model: str  # of MODELS in nextoken/tokenizer_metadata.py
    tokens: list[bytes]
    kinds: list[int]
    merges: list[bytes] | None = None
    scores: list[float] | None = None
    patterns: tuple[str, ...] = ()
    space_prefix: str = "none"
    whole_words: bool = False
    steps: list[Step] = field(default_factory=list)
    tokens_first: bool = False
    sums: str = ""
    edges: list[tuple[int, int]] = field(default_factory=list)
    adds_bos: bool = False
    adds_eos: bool = False
    special: dict[str, int] = field(default_factory=dict)


def edges_of(token: Mapping[str, Any]) -> int:
    """What an added token does to the text beside it, in the bits of Edge in csrc/tokenizer/tokenizer.h."""
    return sum(
        bit for flag, bit in (("lstrip", 1), ("rstrip", 2), ("single_word", 4)) if token.get(flag) is True
    )


class TokenizerJSON:
    """The file, to be asked for its parts; what is wrong with one is an error that names it."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.values = values
        self.path = path

    def vocabulary(self, rows: Sequence[tuple[str, int]], pieces: Pieces) -> None:
        """Texts and ids of the model, and the added tokens."""
        added, vocab = self.values.get("added_tokens", []), dict(rows)
        if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
            raise self.error("added_tokens", "is no list of objects")
        ids = [*(i for _, i in rows), *(token.get("id") for token in added)]
        if not all(type(i) is int and 0 <= i < MOST_TOKENS for i in ids):
            raise self.error("model.vocab", "has an id that is no small whole number")
        texts: list[str | None] = [None] * (max(ids) + 1)
        for text, token_id in rows:
            if texts[token_id] is not None:
                raise self.error("model.vocab", f"has the id {token_id} twice")
            texts[token_id] = text
        pieces.kinds = [NORMAL if text else UNUSED for text in texts]
        for token in added:
            self._added(token, texts, vocab, pieces)
        try:
            pieces.tokens = [(text or "").encode() for text in texts]
        except UnicodeEncodeError:
            raise self.error("model.vocab", "has a token with half a character") from None

    def _added(
        self, token: Mapping[str, Any], texts: list[str | None], vocab: Mapping[str, int], pieces: Pieces
    ) -> None:
        text, token_id, special = token.get("content"), token["id"], token.get("special")
        if not isinstance(text, str) or not text or not isinstance(special, bool):
            raise self.error("added_tokens", f"has an entry without content and special, id {token_id}")
        if texts[token_id] not in (None, text) or vocab.get(text, token_id) != token_id:
            raise self.error("added_tokens", f"and model.vocab disagree on id {token_id}")
        if edges := edges_of(token):
            pieces.edges.append((token_id, edges))
        if token.get("normalized") and not special and " " in text and pieces.model != "gpt2":
            raise self.unsupported(f"normalized of the added token {shortened(text)}", True, "false")
        texts[token_id] = text
        pieces.kinds[token_id] = CONTROL if special else USER_DEFINED

    def byte_tokens(self, pieces: Pieces) -> None:
        """Take note of <0x00> to <0xFF>, all of which byte_fallback needs."""
        by_text = {text: i for i, text in enumerate(pieces.tokens)}
        for b in range(256):
            if (token_id := by_text.get(f"<0x{b:02X}>".encode())) is None:
                raise self.unsupported(
                    "model.vocab", f"without <0x{b:02X}>", "byte_fallback with all 256 bytes"
                )
            pieces.kinds[token_id] = BYTE

    def prefix(self, metaspace: Mapping[str, Any]) -> str:
        """Where it puts a space, as SpacePrefix in csrc/tokenizer/tokenizer.h."""
        scheme = metaspace.get(
            "prepend_scheme", "always" if metaspace.get("add_prefix_space", True) else "never"
        )
        schemes = {"never": "none", "always": "every_start_unless_it", "first": "text_unless_it"}
        if scheme not in schemes:
            raise self.unsupported("pre_tokenizer.prepend_scheme", scheme, ", ".join(schemes))
        return schemes[scheme]

    # --- special tokens around a text --------------------------------------------------------------------------

    def post_processor(self, pieces: Pieces) -> None:
        for step in self.steps("post_processor", "processors"):
            if step.get("type") == "ByteLevel":
                continue  # about offsets only
            if step.get("type") != "TemplateProcessing" or not isinstance(step.get("single"), list):
                raise self.unsupported("post_processor", step.get("type"), "TemplateProcessing and ByteLevel")
            parts = [next(iter(part), None) if isinstance(part, dict) else None for part in step["single"]]
            if parts.count("Sequence") != 1 or set(parts) - {"Sequence", "SpecialToken"} or len(parts) > 3:
                raise self.unsupported("post_processor.single", parts, "one sequence between special tokens")
            at = parts.index("Sequence")
            pieces.adds_bos, pieces.adds_eos = at == 1, len(parts) - at == 2
            if at > 1 or len(parts) - at > 2:
                raise self.unsupported("post_processor.single", parts, "one special token on each side")
            by_text = {text: i for i, text in enumerate(pieces.tokens)}
            for name, place in (
                ("bos_token", 0 if at else None),
                ("eos_token", at + 1 if pieces.adds_eos else None),
            ):
                if place is None:
                    continue
                text = step["single"][place]["SpecialToken"].get("id")
                if not isinstance(text, str) or text.encode() not in by_text:
                    raise self.error(
                        "post_processor.single", f"names {shortened(str(text))}, which is no token"
                    )
                pieces.special[name] = by_text[text.encode()]

    # --- the file's parts --------------------------------------------------------------------------------------

    def object(self, name: str) -> Mapping[str, Any]:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.error(name, "is missing or no object")
        return value

    def steps(self, name: str, parts: str) -> Sequence[Mapping[str, Any]]:
        """A part of the file as the list of steps it is made of."""
        value = self.values.get(name)
        if value is None:
            return []
        steps = value.get(parts) if isinstance(value, dict) and value.get("type") == "Sequence" else [value]
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise self.error(name, "is no object or list of objects")
        return steps

    def type(self, name: str) -> Any:
        value = self.values.get(name)
        return value.get("type") if isinstance(value, dict) else value

    def error(self, field: str, what: str) -> TokenizerError:
        return TokenizerError(f"{self.path}: {field} {what}")

    def unsupported(self, field: str, found: Any, known: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{self.path}: {field} is {shortened(str(found))}, this version knows {known}"
        )
