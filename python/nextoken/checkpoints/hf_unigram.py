"""tokenizer.json with a Unigram model, as T5, XLM-R and converted Llama-like models have it.

The tokens and scores are those of a SentencePiece model; what that did to text before stands as steps of a normalizer.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

from nextoken.checkpoints.hf_pieces import (
    FORMS,
    SPACE_REPLACED,
    UNKNOWN,
    USER_DEFINED,
    Pieces,
    TokenizerJSON,
)
from nextoken.normalizer import REGEXES, SPACE, Normalizer, Step


class UnigramReader(TokenizerJSON):
    """Unigram, with byte fallback or an unknown token."""

    def read(self) -> Pieces:
        model = self.object("model")
        pieces = Pieces("unigram", [], [])
        self._rows(model, pieces)
        unknown = model.get("unk_id")
        if unknown is not None:
            if type(unknown) is not int or not 0 <= unknown < len(pieces.tokens):
                raise self.error("model.unk_id", f"is {str(unknown)[:64]}, no token id")
            pieces.special["unk_token"] = unknown
            pieces.kinds[unknown] = UNKNOWN
        if model.get("byte_fallback"):
            self.byte_tokens(pieces)
        replaced = False
        for part in self.steps("normalizer", "normalizers"):
            if part == {"type": "Prepend", "prepend": SPACE} and not replaced:
                pieces.space_prefix = "every_start"
            else:
                replaced |= part == SPACE_REPLACED
                pieces.steps.append(self._step(part))
        self._spaces(pieces, replaced)
        self._decoder()
        self._added_tokens(pieces)
        self.post_processor(pieces)
        return pieces

    def _rows(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        vocab = model.get("vocab")
        if not isinstance(vocab, list) or not vocab:
            raise self.error("model.vocab", "is missing or no list")
        for i, row in enumerate(vocab):
            if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], str):
                raise self.error("model.vocab", f"has no token and score at {i}")
            if type(row[1]) not in (int, float) or not math.isfinite(row[1]):
                raise self.error("model.vocab", f"has no finite score at {i}")
        self.vocabulary([(row[0], i) for i, row in enumerate(vocab)], pieces)
        scores = [float(row[1]) for row in vocab]
        pieces.scores = scores + [0.0] * (len(pieces.tokens) - len(scores))

    def _step(self, part: Mapping[str, Any]) -> Step:
        kind, pattern = part.get("type"), part.get("pattern")
        content = part.get("content")
        if kind == "Precompiled":
            try:
                blob = base64.b64decode(part.get("precompiled_charsmap", ""), validate=True)
            except (TypeError, ValueError, binascii.Error):
                raise self.error("normalizer.precompiled_charsmap", "is no base64") from None
            return "charsmap", blob, "clusters"
        if kind in FORMS:
            return "form", str(kind)
        if kind == "Strip":
            left, right = part.get("strip_left") is True, part.get("strip_right") is True
            if left or right:
                return "strip", "both" if left and right else "left" if left else "right"
        if kind == "Replace" and isinstance(pattern, dict) and isinstance(content, str):
            old, regex = pattern.get("String"), pattern.get("Regex")
            if isinstance(old, str) and old:
                return "replace", old, content
            if regex in REGEXES and "\\" not in content:
                return "regex", regex, content
            raise self.unsupported("normalizer.pattern", regex, ", ".join(map(repr, REGEXES)))
        raise self.unsupported("normalizer", kind, "Precompiled, Unicode forms, Strip, Replace and Prepend")

    def _spaces(self, pieces: Pieces, replaced: bool) -> None:
        parts = [*self.steps("pre_tokenizer", "pretokenizers")]
        pieces.sums = "doubles"
        by_word = bool(parts) and parts[0].get("type") == "WhitespaceSplit"
        if by_word:
            parts.pop(0)
        if len(parts) == 1 and parts[0].get("type") == "Metaspace" and parts[0].get("replacement") == SPACE:
            if pieces.space_prefix != "none":
                raise self.unsupported("normalizer", "Prepend", "Prepend or Metaspace")
            split = parts[0].get("split", True) is True
            pieces.space_prefix = self.prefix(parts[0])
            pieces.sums = "doubles_by_word" if split else "doubles"
            if by_word and (not split or pieces.space_prefix != "every_start_unless_it"):
                raise self.unsupported("pre_tokenizer", parts[0], "a Metaspace that splits words always")
            if by_word:
                pieces.space_prefix = "every_word"
        elif parts or by_word:
            raise self.unsupported(
                "pre_tokenizer", self.type("pre_tokenizer"), "WhitespaceSplit and Metaspace"
            )
        elif not replaced:
            raise self.unsupported("pre_tokenizer", None, "Metaspace, or a Replace of spaces as normalizer")

    def _decoder(self) -> None:
        kinds = {part.get("type") for part in self.steps("decoder", "decoders")}
        if not kinds & {"Metaspace", "Replace"} or kinds - {
            "Metaspace",
            "Replace",
            "ByteFallback",
            "Fuse",
            "Strip",
        }:
            raise self.unsupported("decoder", self.type("decoder"), "Metaspace, or Replace and ByteFallback")

    def _added_tokens(self, pieces: Pieces) -> None:
        """Those that are text are looked for before the steps or behind, whichever the file says of all of them."""
        texts = [t for t in self.values.get("added_tokens", []) if pieces.kinds[t["id"]] == USER_DEFINED]
        normalized = {t.get("normalized") is True for t in texts}
        if len(normalized) == 2:
            raise self.unsupported("normalized of added_tokens", "true and false", "one of them")
        pieces.tokens_first = normalized == {False}
        if texts and not pieces.tokens_first and pieces.space_prefix == "every_start":
            raise self.unsupported("normalizer", "Prepend before added tokens that are normalized", "either")
        normalizer = Normalizer(tuple(pieces.steps))
        for token in texts if not pieces.tokens_first else []:
            if normalizer(token["content"]) != token["content"]:
                raise self.unsupported(
                    f"normalized of the added token {token['content'][:64]!r}", True, "false"
                )
