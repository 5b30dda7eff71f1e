"""The ids of a dozen vocabularies are those of llama.cpp, pair by pair of its own tests and on ten thousand strings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from nextoken import _native
from nextoken.errors import UnsupportedModelError
from nextoken.pretokenizers import PRE_TOKENIZERS
from nextoken.tokenizer import Tokenizer, tokenizer_from_gguf
from tests.tokenizer.make_strings import strings
from tests.tokenizer.vocabularies import (
    CUTTERS,
    GROUP,
    NAMES,
    REFERENCE,
    digests,
    file_of,
    folder,
    recut,
)

WHERE = folder()
needs_files = pytest.mark.skipif(WHERE is None, reason="NEXTOKEN_VOCABULARIES names no folder")
SEPARATOR = "\n__ggml_vocab_test__\n"


def tokenizer_of(name: str) -> Tokenizer:
    assert WHERE is not None
    return tokenizer_from_gguf(_native.GGUFFile(file_of(WHERE, name)))


@needs_files
@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_ids_are_those_of_llama_cpp(name: str) -> None:
    check(tokenizer_of(name), name)


@needs_files
@pytest.mark.models
@pytest.mark.parametrize("name", CUTTERS)
def test_words_end_where_they_do_in_llama_cpp(name: str, tmp_path: Path) -> None:
    assert WHERE is not None
    file = recut(WHERE, name, tmp_path / "m.gguf")
    check(tokenizer_from_gguf(_native.GGUFFile(file)), f"llama-bpe as {name}")


def check(tokenizer: Tokenizer, name: str) -> None:
    ours = digests([tokenizer.encode(text, add_special_tokens=False) for text in strings()])
    expected = json.loads(REFERENCE.read_text())[name]
    assert [i * GROUP for i, (a, b) in enumerate(zip(ours, expected, strict=True)) if a != b] == []


@needs_files
@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_the_pairs_of_llama_cpp_s_own_tests(name: str) -> None:
    assert WHERE is not None
    texts = Path(f"{file_of(WHERE, name)}.inp").read_bytes().decode().split(SEPARATOR)
    rows = Path(f"{file_of(WHERE, name)}.out").read_text().split("\n")
    tokenizer = tokenizer_of(name)
    for text, row in zip(texts, rows, strict=False):
        assert tokenizer.encode(text, add_special_tokens=False) == [int(i) for i in row.split()], text


@needs_files
@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bert-bge", "tokenizer.ggml.model is 'bert'"),
        ("gemma-4", "tokenizer.ggml.model is 'gemma4'"),
        ("aquila", "tokenizer.ggml.pre is missing"),
        ("gpt-neox", "tokenizer.ggml.pre is missing"),
    ],
)
def test_other_vocabularies_are_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        tokenizer_of(name)


@needs_files
@pytest.mark.models
def test_a_unigram_vocabulary_of_a_quarter_million_tokens() -> None:
    """XLM-R's, which llama.cpp has no pairs for: the ids of the tokenizers library, where its map changes nothing."""
    assert WHERE is not None
    file = _native.GGUFFile(file_of(WHERE, "nomic-bert-moe"))
    names, scores = file.get("tokenizer.ggml.tokens"), file.get("tokenizer.ggml.scores")
    theirs = tokenizers.Tokenizer(models.Unigram([*zip(names, scores.tolist(), strict=True)], unk_id=3))
    theirs.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    chars_map = _native.CharsMap(file.get("tokenizer.ggml.precompiled_charsmap").tobytes())
    ours, compared = tokenizer_from_gguf(file), 0
    for text in strings():
        plain = text.strip(" ")
        if chars_map.apply(plain.encode(), False) != plain.encode() or "<" in plain:
            continue
        compared += 1
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(plain).ids, text
    assert compared > 3000


def cut_by(pattern: str) -> _native.ByteLevelTokenizer:
    """7, a space, and both in one where the pattern does not cut between them."""
    tokens = [b"7", "Ġ".encode(), "7Ġ".encode()]
    return _native.ByteLevelTokenizer(tokens, np.ones(3, np.uint8), [], ["7 Ġ".encode()], [pattern])


def test_white_space_at_the_end_of_a_text_is_cut_off_and_no_other() -> None:
    assert cut_by(r"\s+$").encode(b"7 7  ", False) == [2, 0, 1, 1]
    assert cut_by(r"\s+").encode(b"7 7", False) == [0, 1, 0]
    for text in (b" " * 300_000 + b"7", b"7 " * 150_000 + b"7"):  # in linear time
        assert cut_by(r"\s+$").decode(cut_by(r"\s+$").encode(text, False), False) == text


@pytest.mark.parametrize("pattern", [r"\s$", r"a\s+$", r"\s+$|a", r"\s+$a", r"a|\s+$", "$", r"\s*$"])
def test_an_end_of_the_text_elsewhere_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pre-tokenizer pattern"):
        cut_by(pattern)


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS))
def test_every_pattern_is_understood_and_loses_nothing(name: str) -> None:
    letters = (
        [chr(c) for c in range(33, 127)]
        + [chr(c) for c in range(161, 173)]
        + [chr(c) for c in range(174, 324)]
    )
    tokens = [letter.encode() for letter in letters]
    tokenizer = _native.ByteLevelTokenizer(
        tokens, np.ones(len(tokens), np.uint8), [], [], list(PRE_TOKENIZERS[name]), True
    )
    assert tokenizer.missing_bytes() == []
    for text in strings(20):
        assert tokenizer.decode(tokenizer.encode(text.encode(), False), False) == text.encode()
