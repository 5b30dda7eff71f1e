"""tokenizer.json with a BPE model in the terms of our native tokenizers; what they can not do is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextoken.checkpoints.hf_pieces import FORMS, SPACE_REPLACED, UNKNOWN, Pieces, TokenizerJSON
from nextoken.normalizer import SPACE
from nextoken.pretokenizers import GPT2, without_groups

OTHERS = r"[^\s\p{L}\p{N}]+"


class BPEReader(TokenizerJSON):
    """Byte-level BPE, and SentencePiece BPE with byte fallback."""

    def read(self) -> Pieces:
        model = self.object("model")
        for name, default in (
            ("dropout", None),
            ("continuing_subword_prefix", ""),
            ("end_of_word_suffix", ""),
        ):
            if model.get(name) not in (None, default, 0.0):
                raise self.unsupported(f"model.{name}", model[name], "none")
        byte_level = self._is_byte_level()
        pieces = Pieces("gpt2" if byte_level else "llama", [], [])
        vocab = model.get("vocab")
        if not isinstance(vocab, dict) or not vocab:
            raise self.error("model.vocab", "is missing or no object")
        self.vocabulary([*vocab.items()], pieces)
        self._merges(model, pieces)
        pieces.whole_words = model.get("ignore_merges") is True
        if byte_level:
            self._byte_level(model, pieces)
        else:
            self._sentence_piece(model, pieces)
        self.post_processor(pieces)
        return pieces

    def _merges(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        merges = model.get("merges")
        if not isinstance(merges, list):
            raise self.error("model.merges", "is missing or no list")
        pieces.merges = []
        for i, merge in enumerate(merges):
            pair = merge.split(" ") if isinstance(merge, str) else merge
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(isinstance(t, str) and t for t in pair)
            ):
                raise self.error("model.merges", f"has no pair of tokens at {i}")
            if " " in pair[0] or " " in pair[1]:
                raise self.unsupported(f"model.merges[{i}]", pair, "tokens without a space")
            pieces.merges.append(f"{pair[0]} {pair[1]}".encode())

    # --- byte-level BPE ----------------------------------------------------------------------------------------

    def _is_byte_level(self) -> bool:
        return any(part.get("type") == "ByteLevel" for part in self.steps("pre_tokenizer", "pretokenizers"))

    def _byte_level(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        for step in self.steps("normalizer", "normalizers"):
            if step.get("type") not in FORMS or pieces.steps:
                raise self.unsupported("normalizer", step.get("type"), "one Unicode form for byte-level BPE")
            pieces.steps.append(("form", step["type"]))
        if model.get("byte_fallback"):
            raise self.unsupported("model.byte_fallback", True, "false for byte-level BPE")
        patterns: list[str] = []
        *steps, last = self.steps("pre_tokenizer", "pretokenizers")  # not empty: one is ByteLevel
        for step in steps:
            if step.get("type") == "Digits":
                patterns.append(r"\p{N}" if step.get("individual_digits") else r"\p{N}+")
            elif step.get("type") == "Split":
                patterns.append(self._split(step))
            else:
                raise self.unsupported("pre_tokenizer", step.get("type"), "Split, Digits and ByteLevel")
        if last.get("type") != "ByteLevel":
            raise self.unsupported("pre_tokenizer", last.get("type"), "ByteLevel as its last part")
        if last.get("add_prefix_space"):
            raise self.unsupported("pre_tokenizer.add_prefix_space", True, "false")
        if last.get("use_regex", True):
            patterns.append(GPT2)
        pieces.patterns = tuple(patterns)
        if not any(step.get("type") == "ByteLevel" for step in self.steps("decoder", "decoders")):
            raise self.unsupported("decoder", self.type("decoder"), "ByteLevel")

    def _split(self, step: Mapping[str, Any]) -> str:
        pattern = step.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        behavior, invert = step.get("behavior"), step.get("invert", False)
        if not isinstance(regex, str) or not (
            (behavior == "Isolated" and not invert)
            or (behavior == "Removed" and invert is True and regex.endswith(r"|\s+") and OTHERS in regex)
        ):  # where every character is matched, nothing is removed
            raise self.unsupported("pre_tokenizer", step, "Split of an isolated Regex")
        return without_groups(regex)

    # --- SentencePiece BPE -------------------------------------------------------------------------------------

    def _sentence_piece(self, model: Mapping[str, Any], pieces: Pieces) -> None:
        if not model.get("byte_fallback"):
            raise self.unsupported("model.byte_fallback", False, "true, or a ByteLevel pre_tokenizer")
        self.byte_tokens(pieces)
        by_text = {text: i for i, text in enumerate(pieces.tokens)}
        unknown = model.get("unk_token")
        if isinstance(unknown, str) and unknown.encode() in by_text:
            pieces.special["unk_token"] = by_text[unknown.encode()]
            pieces.kinds[by_text[unknown.encode()]] = UNKNOWN
        if pieces.whole_words:
            raise self.unsupported("model.ignore_merges", True, "false for SentencePiece BPE")
        replaced, prefix = False, "none"
        for step in self.steps("normalizer", "normalizers"):
            if step == {"type": "Prepend", "prepend": SPACE} and not replaced:
                prefix = "every_start"
            elif step == SPACE_REPLACED:
                replaced = True
            else:
                raise self.unsupported("normalizer", step.get("type"), "Prepend and Replace for spaces")
        for step in self.steps("pre_tokenizer", "pretokenizers"):
            if step.get("type") == "Metaspace" and not replaced and step.get("replacement") == SPACE:
                replaced, prefix = True, self._metaspace(step, pieces)
            elif step.get("type") != "Split" or step.get("pattern") != {"String": " "} or not replaced:
                raise self.unsupported("pre_tokenizer", step.get("type"), "Metaspace")
        if not replaced:
            raise self.unsupported("normalizer", self.type("normalizer"), "a Replace of spaces")
        pieces.space_prefix = prefix
        if not any(step.get("type") == "ByteFallback" for step in self.steps("decoder", "decoders")):
            raise self.unsupported("decoder", self.type("decoder"), "ByteFallback")

    def _metaspace(self, step: Mapping[str, Any], pieces: Pieces) -> str:
        if step.get("split", True) and any(SPACE.encode() in text[1:] for text in pieces.tokens):
            raise self.unsupported("pre_tokenizer.split", True, "false where tokens hold several words")
        return self.prefix(step)
