"""Vocabularies that strangers wrote: each fault is named, none is fatal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nextoken.errors import TokenizerError, UnsupportedModelError
from nextoken.tokenizer import Tokenizer
from tests.gguf_pieces import ARRAY, STRING, U8, Typed
from tests.gguf_tokenizers import gemma_tokenizer, llama_tokenizer
from tests.tokenizer.tiny import build, kinds, scores, sentence_piece

N_LLAMA = len(llama_tokenizer()["tokenizer.ggml.tokens"])
N_GEMMA = len(gemma_tokenizer()["tokenizer.ggml.tokens"])
MERGES = llama_tokenizer()["tokenizer.ggml.merges"]

FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"model": None}, "tokenizer.ggml.model"),
    ("llama", {"model": 3}, "tokenizer.ggml.model"),
    ("llama", {"tokens": None}, "tokenizer.ggml.tokens is missing"),
    ("llama", {"tokens": "text"}, "tokenizer.ggml.tokens"),
    ("llama", {"tokens": Typed(ARRAY, [1, 2], element=U8)}, "tokenizer.ggml.tokens"),
    ("llama", {"tokens": Typed(ARRAY, [], element=STRING)}, "tokenizer.ggml.tokens is empty"),
    ("llama", {"token_type": kinds([1] * (N_LLAMA - 1))}, "tokenizer.ggml.token_type"),
    ("llama", {"token_type": kinds([1] * (N_LLAMA + 1))}, "tokenizer.ggml.token_type"),
    ("llama", {"token_type": Typed(ARRAY, [1] * N_LLAMA, element=U8)}, "tokenizer.ggml.token_type"),
    ("llama", {"token_type": kinds([-1] * N_LLAMA)}, "tokenizer.ggml.token_type"),
    ("llama", {"token_type": kinds([7] * N_LLAMA)}, "tokenizer.ggml.token_type"),
    ("gemma", {"scores": None}, "tokenizer.ggml.scores"),
    ("gemma", {"scores": scores([0.0] * (N_GEMMA - 1))}, "tokenizer.ggml.scores"),
    ("gemma", {"scores": scores([0.0] * (N_GEMMA + 1))}, "tokenizer.ggml.scores"),
    ("gemma", {"scores": Typed(ARRAY, [0] * N_GEMMA, element=U8)}, "tokenizer.ggml.scores"),
    ("gemma", {"scores": scores([0.0] * (N_GEMMA - 1) + [float("nan")])}, rf"scores\[{N_GEMMA - 1}\]"),
    ("gemma", {"scores": scores([float("-inf")] * N_GEMMA)}, r"scores\[0\]"),
    ("llama", {"bos_token_id": N_LLAMA}, "bos_token_id"),
    ("llama", {"eos_token_id": 2**32 - 1}, "eos_token_id"),
    ("llama", {"unknown_token_id": -1}, "unknown_token_id"),
    ("llama", {"padding_token_id": "2"}, "padding_token_id"),
    ("llama", {"eot_token_id": N_LLAMA}, "eot_token_id"),
    ("llama", {"add_bos_token": True, "bos_token_id": None}, "add_bos_token"),
    ("llama", {"add_eos_token": True, "eos_token_id": None}, "add_eos_token"),
    ("llama", {"add_bos_token": 1}, "add_bos_token"),
    ("llama", {"merges": None}, "tokenizer.ggml.merges is missing"),
    ("llama", {"merges": [*MERGES, "nospace"]}, rf"merges\[{len(MERGES)}\]"),
    ("llama", {"merges": [*MERGES, "a b c"]}, rf"merges\[{len(MERGES)}\]"),
    ("llama", {"merges": [*MERGES, " b"]}, rf"merges\[{len(MERGES)}\]"),
    ("llama", {"merges": [*MERGES, "a zzzz"]}, rf"merges\[{len(MERGES)}\].*not in"),
    ("llama", {"merges": [*MERGES, MERGES[0]]}, rf"merges\[{len(MERGES)}\].*twice"),
    ("llama", {"chat_template": 7}, "tokenizer.chat_template"),
]


@pytest.mark.parametrize(("base", "changes", "field"), FAULTS)
def test_a_fault_is_named(tmp_path: Path, base: str, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(TokenizerError, match=field):
        build(tmp_path, base, **changes)


def test_a_default_id_must_be_in_the_vocabulary_too(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="bos_token_id is 1"):
        build(
            tmp_path,
            {
                "tokenizer.ggml.model": "llama",
                "tokenizer.ggml.tokens": ["a"],
                "tokenizer.ggml.scores": scores([0.0]),
            },
        )


@pytest.mark.parametrize("model", ["bert", "rwkv", "x" * 1000])
def test_other_kinds_of_tokenizer_are_refused_by_name(tmp_path: Path, model: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"'{model[:64]}") as error:
        build(tmp_path, "llama", model=model)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("pre", ["qwen99", "default", None])
def test_unknown_pre_tokenizers_are_refused_by_name(tmp_path: Path, pre: str | None) -> None:
    with pytest.raises(UnsupportedModelError, match=f"{pre or 'missing'}.*'gpt-2'.*'qwen2'"):
        build(tmp_path, "llama", pre=pre)


@pytest.mark.parametrize("name", ["<0x-1>", "<0xZZ>", "<0x100>", "<0x4>", "0x41", ""])
def test_byte_tokens_are_read_strictly(tmp_path: Path, name: str) -> None:
    data = sentence_piece({"a": 0.0})
    data["tokenizer.ggml.tokens"][3 + 0x41] = name
    with pytest.raises(TokenizerError, match="byte token"):
        build(tmp_path, data)


def test_a_byte_without_a_token_is_unknown_or_an_error(tmp_path: Path) -> None:
    data = sentence_piece({"a": 0.0})
    data["tokenizer.ggml.tokens"][3 + 0x62] = "<0x61>"  # "b" can not be spelt
    assert build(tmp_path, data).encode("aba", False)[1] == 0
    # Without an unknown token there is nothing to stand for it.
    options, vocabulary = build(tmp_path, data)._content()
    with pytest.raises(TokenizerError, match="byte 98"):
        Tokenizer(replace(options, unk_id=None), vocabulary).encode("aba")


def test_a_byte_level_vocabulary_that_lacks_a_byte_says_so(tmp_path: Path) -> None:
    data = llama_tokenizer()
    index = data["tokenizer.ggml.tokens"].index("z")
    data["tokenizer.ggml.tokens"][index] = "(no z)"
    data["tokenizer.ggml.merges"] = [m for m in MERGES if "z" not in m]
    tokenizer = build(tmp_path, data)
    assert tokenizer.missing_bytes == {ord("z")}
    assert tokenizer.decode(tokenizer.encode("azb")) == "ab"


def test_duplicate_empty_and_huge_tokens_are_lived_with(tmp_path: Path) -> None:
    data = llama_tokenizer()
    tokens = data["tokenizer.ggml.tokens"]
    tokens += ["a", "", "x" * 1_000_000]
    data["tokenizer.ggml.token_type"] = kinds([3] * 3 + [1] * (len(tokens) - 3))
    tokenizer = build(tmp_path, data)
    assert tokenizer.encode("a") == [tokens.index("a")]  # the first of equals
    assert tokenizer.decode([len(tokens) - 3, len(tokens) - 2]) == "a"
    assert len(tokenizer.token_bytes(len(tokens) - 1)) == 1_000_000


def test_an_empty_special_token_is_refused(tmp_path: Path) -> None:
    data = llama_tokenizer()
    data["tokenizer.ggml.tokens"][1] = ""
    with pytest.raises(TokenizerError, match="special token 1 is empty"):
        build(tmp_path, data)


def test_tokens_that_are_no_utf8_are_bytes(tmp_path: Path) -> None:
    data = llama_tokenizer()
    tokens = [t.encode() for t in data["tokenizer.ggml.tokens"]]
    tokens[-1] = b"\xff\xfe\x80"
    data["tokenizer.ggml.tokens"] = tokens
    data["tokenizer.ggml.merges"] = MERGES[:3]
    tokenizer = build(tmp_path, data)
    assert tokenizer.decode([len(tokens) - 1]) == "\ufffd" * 3
    assert tokenizer.decode_bytes([len(tokens) - 1]) == b"\xff\xfe\x80"


def test_merges_that_feed_each_other_end(tmp_path: Path) -> None:
    data = llama_tokenizer()
    tokens = data["tokenizer.ggml.tokens"]
    tokens += ["zq", "qz", "zqz", "zqzq"]
    data["tokenizer.ggml.token_type"] = kinds([3] * 3 + [1] * (len(tokens) - 3))
    data["tokenizer.ggml.merges"] = ["zqz q", "zq z", "z qz", "q z", "z q", "zq zq", *MERGES]
    tokenizer = build(tmp_path, data)
    assert tokenizer.decode(tokenizer.encode("zq" * 5000)) == "zq" * 5000


def test_many_merges_load_in_proportion(tmp_path: Path) -> None:
    data = llama_tokenizer()
    letters = [t for t in data["tokenizer.ggml.tokens"] if len(t) == 1]
    pairs = [(a, b) for a in letters for b in letters]
    known = set(data["tokenizer.ggml.tokens"])
    data["tokenizer.ggml.tokens"] += [a + b for a, b in pairs if a + b not in known]
    data["tokenizer.ggml.token_type"] = kinds([3] * 3 + [1] * (len(data["tokenizer.ggml.tokens"]) - 3))
    data["tokenizer.ggml.merges"] = [f"{a} {b}" for a, b in pairs]
    tokenizer = build(tmp_path, data)
    assert len(tokenizer.encode("zz")) == 1
