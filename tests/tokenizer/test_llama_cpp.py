"""The ids of real models are those of llama.cpp, on ten thousand strings of every kind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from nextoken import _native
from nextoken.checkpoints import catalogue
from nextoken.tokenizer import Tokenizer, tokenizer_from_gguf
from tests.tokenizer.make_strings import strings

HERE = Path(__file__).parent
STRINGS = strings()


def test_the_strings_are_the_same_everywhere() -> None:
    assert len(STRINGS) == 10450
    assert hashlib.sha256(json.dumps(STRINGS).encode()).hexdigest()[:16] == "9a159951ea9236fe"


@pytest.fixture(scope="module", params=["smollm2-135m", "gemma-3-270m"])
def model(request: pytest.FixtureRequest) -> tuple[Tokenizer, dict[str, Any]]:
    reference = json.loads((HERE / "llama_cpp_ids.json").read_text())[request.param]
    return tokenizer_from_gguf(_native.GGUFFile(catalogue.fetch(request.param))), reference


@pytest.mark.models
def test_ids_are_those_of_llama_cpp(model: tuple[Tokenizer, dict[str, Any]]) -> None:
    tokenizer, reference = model
    for text, ids in zip(STRINGS, reference["ids"], strict=False):
        assert tokenizer.encode(text, add_special_tokens=False) == ids, text
    different = []
    for i, text in enumerate(STRINGS):
        both = [tokenizer.encode(text, add_special_tokens=False), tokenizer.encode(text)]
        digest = hashlib.sha256(json.dumps(both).encode()).hexdigest()[:8]
        if digest != reference["digests"][8 * i : 8 * i + 8]:
            different.append(text)
    assert different == []


@pytest.mark.models
def test_no_text_becomes_a_control_token(model: tuple[Tokenizer, dict[str, Any]]) -> None:
    tokenizer, _ = model
    for text in STRINGS:
        assert not any(map(tokenizer.is_special, tokenizer.encode(text, add_special_tokens=False))), text


@pytest.mark.models
def test_bytes_come_back(model: tuple[Tokenizer, dict[str, Any]]) -> None:
    tokenizer, _ = model
    for text in STRINGS:
        if "▁" in text and not tokenizer.missing_bytes:
            continue  # SentencePiece takes U+2581 for a space
        expected = bytes(b for b in text.encode() if b not in tokenizer.missing_bytes)
        assert tokenizer.decode_bytes(tokenizer.encode(text, add_special_tokens=False)) == expected
