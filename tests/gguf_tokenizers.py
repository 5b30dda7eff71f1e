"""Tokenizers of about 300 entries as GGUF metadata: SmolLM2's kind and Gemma's kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.gguf_pieces import ARRAY, F32, I32, Typed

WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "and",
    "her",
    "lazy",
    "dog",
    "ran",
    "over",
    "an",
    "inn",
    "in",
    "there",
    "other",
)
LLAMA_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def llama_tokenizer() -> dict[str, Any]:
    """A byte-level BPE: three control tokens, the 256 bytes, then what merging a few words makes."""
    alphabet = list(_byte_letters().values())
    merges, pieces = _merge_words(["Ġ" + w for w in WORDS] + ["ĠĠĠĠ", "ing", "ed"], set(alphabet))
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, *pieces]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Typed(ARRAY, [3] * 3 + [1] * (len(tokens) - 3), element=I32),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": LLAMA_TEMPLATE,
    }


def gemma_tokenizer() -> dict[str, Any]:
    """A SentencePiece vocabulary as Gemma's: control tokens, newlines, bytes, merged pieces, characters."""
    letters = ["▁", *"etaoinshrdlcumwfgypbvkxjqzETAOINS0123456789.,!?'é中"]
    _, pieces = _merge_words(["▁" + w for w in WORDS] + ["ing", "ed", "▁▁"], set(letters))
    control = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    rows = [(t, -1000.0, 3) for t in control] + [("\n", -1000.0, 4), ("\n\n", -1000.0, 4)]
    rows += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    rows += [(piece, -float(rank), 1) for rank, piece in enumerate(pieces + letters)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [r[0] for r in rows],
        "tokenizer.ggml.scores": Typed(ARRAY, [r[1] for r in rows], element=F32),
        "tokenizer.ggml.token_type": Typed(ARRAY, [r[2] for r in rows], element=I32),
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_sep_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": GEMMA_TEMPLATE,
    }


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte, printable bytes first, as its vocabularies are ordered."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(others)}


def _merge_words(words: Iterable[str], known: set[str]) -> tuple[list[str], list[str]]:
    """Merges that build each word from left to right, and the pieces they make, each once."""
    merges, pieces, known = [], [], set(known)
    for word in words:
        left = word[0]
        for letter in word[1:]:
            if left + letter not in known:
                merges.append(f"{left} {letter}")
                pieces.append(left + letter)
                known.add(left + letter)
            left += letter
    return merges, pieces
