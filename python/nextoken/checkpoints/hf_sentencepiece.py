"""tokenizer.model, a SentencePiece model: the few fields of its protocol buffer that matter, checked.

https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from nextoken import _native
from nextoken.checkpoints.hf_pieces import CONTROL, MOST_TOKENS, UNKNOWN, USER_DEFINED, Pieces
from nextoken.errors import TokenizerError, UnsupportedModelError

UNIGRAM, BPE = 1, 2
MOST_BYTES = 256 << 20
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read(path: str, settings: Mapping[str, Any]) -> Pieces:
    """A BPE model with byte fallback or Unigram; tokens of tokenizer_config.json's added_tokens_decoder follow its own.

    Raises TokenizerError for a damaged file, UnsupportedModelError for another kind of model.
    """
    file = _native.File(os.fsencode(path))
    try:
        if file.size > MOST_BYTES:
            raise TokenizerError(f"{path}: {file.size} bytes, more than the {MOST_BYTES} that are read")
        data = file.read(0, file.size, "file")
    finally:
        file.close()
    pieces = Pieces("llama", [], [], scores=[])
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for number, value in _fields(data, path):
        if number == 1:
            piece = dict(_fields(_bytes(value, path), path))
            pieces.tokens.append(_bytes(piece.get(1, b""), path))
            pieces.scores.append(_float(piece.get(2, 0), path))  # type: ignore[union-attr]
            kind = piece.get(3, 1)
            if kind not in range(1, 7):
                raise TokenizerError(
                    f"{path}: pieces[{len(pieces.kinds)}].type is {kind!r}, kinds are 1 to 6"
                )
            pieces.kinds.append(kind)
        elif number == 2:
            trainer = dict(_fields(_bytes(value, path), path))
        elif number == 3:
            normalizer = dict(_fields(_bytes(value, path), path))
        if len(pieces.tokens) > MOST_TOKENS:
            raise TokenizerError(f"{path}: more than {MOST_TOKENS} pieces")
    if trainer.get(3, UNIGRAM) == UNIGRAM:
        pieces.model, pieces.sums, pieces.tokens_first = "unigram", "floats", True
    for field, found, known in (
        ("trainer_spec.model_type", trainer.get(3, UNIGRAM), (UNIGRAM, BPE)),
        ("trainer_spec.treat_whitespace_as_suffix", trainer.get(24, 0), (0,)),
        ("trainer_spec.byte_fallback", trainer.get(35, 0), (1,) if pieces.model == "llama" else (0, 1)),
        ("normalizer_spec.escape_whitespaces", normalizer.get(5, 1), (1,)),
    ):
        if found not in known:
            raise UnsupportedModelError(
                f"{path}: {field} is {found!r}, this version knows {' and '.join(map(str, known))}"
            )
    if charsmap := _bytes(normalizer.get(2, b""), path):
        pieces.steps.append(("charsmap", charsmap, "longest"))
    if normalizer.get(4, 1):
        pieces.steps.append(("spaces",))
    pieces.space_prefix = "every_start" if normalizer.get(3, 1) else "none"
    for name, number, default in (
        ("unk_token", 40, 0),
        ("bos_token", 41, 1),
        ("eos_token", 42, 2),
        ("pad_token", 43, -1),
    ):
        token_id = trainer.get(number, default)
        if type(token_id) is int and token_id < len(pieces.tokens) and token_id >= 0:
            pieces.special[name] = token_id
    pieces.adds_bos = "bos_token" in pieces.special
    _add_tokens(pieces, settings, path)
    return pieces


def _add_tokens(pieces: Pieces, settings: Mapping[str, Any], path: str) -> None:
    added = settings.get("added_tokens_decoder", {})
    if not isinstance(added, dict):
        raise TokenizerError("added_tokens_decoder of tokenizer_config.json is no object")
    assert pieces.scores is not None
    entries = sorted(
        (int(key) if key.isascii() and key.isdigit() else -1, token) for key, token in added.items()
    )
    for token_id, token in entries:
        text = token.get("content") if isinstance(token, dict) else None
        if not isinstance(text, str) or not text:
            raise TokenizerError(f"added_tokens_decoder of tokenizer_config.json has no token at {token_id}")
        kind = CONTROL if token.get("special") else USER_DEFINED
        if 0 <= token_id < len(pieces.tokens) and pieces.tokens[token_id] == text.encode():
            if pieces.kinds[token_id] != UNKNOWN:
                pieces.kinds[token_id] = kind
        elif token_id == len(pieces.tokens):
            pieces.tokens.append(text.encode())
            pieces.kinds.append(kind)
            pieces.scores.append(0.0)
        else:
            raise TokenizerError(f"added_tokens_decoder and {path} disagree on id {token_id}")


def _fields(data: bytes, path: str) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an int, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at, path)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(data, at, path)
            yield number, value - (1 << 64) if value >> 63 else value
            continue
        if wire == BYTES:
            size, at = _varint(data, at, path)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise TokenizerError(f"{path}: no protocol buffer: wire type {wire} at byte {at}")
        if size > len(data) - at:
            raise TokenizerError(f"{path}: a field at byte {at} needs {size} bytes, {len(data) - at} remain")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int, path: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            raise TokenizerError(f"{path}: ends inside a number")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value & (1 << 64) - 1, at
    raise TokenizerError(f"{path}: a number of more than ten bytes before byte {at}")


def _bytes(value: Any, path: str) -> bytes:
    if not isinstance(value, bytes):
        raise TokenizerError(f"{path}: a field holds a number instead of bytes")
    return value


def _float(value: Any, path: str) -> float:
    score: float = 0.0
    if isinstance(value, bytes) and len(value) == 4:
        (score,) = struct.unpack("<f", value)
    elif value != 0:
        raise TokenizerError(f"{path}: a score is no float")
    if not math.isfinite(score):
        raise TokenizerError(f"{path}: a score is not finite")
    return score
