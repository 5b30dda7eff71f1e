"""Tokenizers of some 300 tokens, whole or broken in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nextoken import _native
from nextoken.tokenizer import Tokenizer, tokenizer_from_gguf
from tests.gguf_files import write_gguf
from tests.gguf_pieces import ARRAY, F32, I32, Typed
from tests.gguf_tokenizers import gemma_tokenizer, llama_tokenizer

KINDS = {"llama": llama_tokenizer, "gemma": gemma_tokenizer}


def build(folder: Path, base: str | dict[str, Any], **changes: Any) -> Tokenizer:
    """The tokenizer of `base` ("llama", "gemma" or metadata) with `tokenizer.ggml.X` changed; None drops a key."""
    metadata = KINDS[base]() if isinstance(base, str) else dict(base)
    for name, value in changes.items():
        key = "tokenizer.chat_template" if name == "chat_template" else f"tokenizer.ggml.{name}"
        metadata[key] = value
        if value is None:
            del metadata[key]
    path = write_gguf(folder / "tokenizer.gguf", {"general.architecture": "llama", **metadata})
    return tokenizer_from_gguf(_native.GGUFFile(path))


def kinds(values: list[int]) -> Typed:
    return Typed(ARRAY, values, element=I32)


def scores(values: list[float]) -> Typed:
    return Typed(ARRAY, values, element=F32)


def sentence_piece(pieces: dict[str, float], **more: Any) -> dict[str, Any]:
    """A SentencePiece vocabulary: <unk>, <s>, </s>, the 256 bytes, then `pieces` with their scores."""
    rows = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("<end>", 0.0, 3)]
    rows += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    rows += [(piece, score, 1) for piece, score in pieces.items()]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [r[0] for r in rows],
        "tokenizer.ggml.scores": scores([r[1] for r in rows]),
        "tokenizer.ggml.token_type": kinds([r[2] for r in rows]),
        "tokenizer.ggml.add_space_prefix": False,
        **{f"tokenizer.ggml.{name}": value for name, value in more.items()},
    }
