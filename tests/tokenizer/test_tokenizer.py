"""Encoding and decoding with small vocabularies: what is true of every text, and what is refused."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Oracle

from nextoken.tokenizer import Tokenizer
from tests.gguf_tokenizers import llama_tokenizer
from tests.tokenizer.make_strings import strings
from tests.tokenizer.tiny import build, sentence_piece


@pytest.fixture(scope="module", params=["llama", "gemma"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return build(tmp_path_factory.mktemp("tiny"), request.param)


@given(text=st.text())
def test_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert not any(map(tokenizer.is_special, ids))
    assert tokenizer.decode(ids) == text.replace("▁", " " if "▁" in text and tokenizer.bos_id == 2 else "▁")
    assert b"".join(map(tokenizer.token_bytes, ids)) == tokenizer.decode_bytes(ids)
    stream = tokenizer.stream_decoder()
    assert "".join(map(stream.push, ids)) + stream.finish() == tokenizer.decode(ids)


def test_ids_of_an_independent_byte_pair_encoder(tmp_path: Path) -> None:
    data = llama_tokenizer()
    vocab = {token: i for i, token in enumerate(data["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in data["tokenizer.ggml.merges"]]
    oracle = Oracle(models.BPE(vocab, merges))
    oracle.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer = build(tmp_path, data)
    for text in [*strings(60), "the quick brown fox and her dog ran over there " * 20]:
        assert tokenizer.encode(text) == oracle.encode(text).ids, text


def slow_sentence_piece(text: str, vocabulary: dict[str, float]) -> list[str]:
    """The definition: join the best-scored pair, the leftmost of equals, until no pair is a token."""
    pieces = list(text.replace(" ", "▁"))
    while True:
        pairs = [(-vocabulary[a + b], i) for i, (a, b) in enumerate(pairwise(pieces)) if a + b in vocabulary]
        if not pairs:
            return pieces
        _, i = min(pairs)
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]


@given(
    st.lists(st.text("ab ", min_size=1, max_size=5), max_size=12, unique=True),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
    st.text("ab ", max_size=40),
)
def test_sentence_pieces_are_those_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[str], ranks: list[int], text: str
) -> None:
    vocabulary = {"a": 0.0, "b": 0.0, "▁": 0.0}
    vocabulary |= {t.replace(" ", "▁"): -float(r) for t, r in zip(tokens, ranks, strict=False)}
    tokenizer = build(tmp_path_factory.mktemp("spm"), sentence_piece(vocabulary))
    ids = tokenizer.encode(text, add_special_tokens=False)
    expected = slow_sentence_piece(text, vocabulary)
    assert [tokenizer.token_bytes(i).decode() for i in ids] == [piece.replace("▁", " ") for piece in expected]


def test_long_runs_merge_as_short_ones_do(tokenizer: Tokenizer) -> None:
    unit = "thethereinningfoxé"  # no token goes beyond "é", so each unit stands alone; 9,000 symbols take another queue
    one = tokenizer.encode(unit, add_special_tokens=False)
    assert len(one) < len(unit)
    assert tokenizer.encode(unit * 500, add_special_tokens=False) == one * 500


@pytest.mark.parametrize("unit", ["a", " ", "\n", "^", "👨‍👩‍👧", "e\u0301", "7", "the ", "<", "<|im_"])
def test_a_megabyte_of_anything(tokenizer: Tokenizer, unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_special_tokens_are_added_as_the_file_says(tmp_path: Path) -> None:
    assert build(tmp_path, "llama").encode("the") == build(tmp_path, "llama").encode(
        "the", add_special_tokens=False
    )
    gemma = build(tmp_path, "gemma")
    assert gemma.encode("the")[0] == gemma.bos_id == 2
    assert gemma.encode("") == [2]
    both = build(tmp_path, "llama", add_bos_token=True, add_eos_token=True)
    assert both.encode("") == [both.bos_id, both.eos_id] == [1, 2]
    assert both.encode("", add_special_tokens=False) == []


def test_names_of_control_tokens_are_text_unless_asked(tmp_path: Path) -> None:
    tokenizer = build(tmp_path, "llama")
    text = "the<|im_end|>fox"
    assert 2 not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    parsed = tokenizer.encode(text, parse_special=True)
    assert parsed.count(2) == 1
    assert tokenizer.decode(parsed) == text
    assert tokenizer.decode(parsed, skip_special_tokens=True) == "thefox"


def test_user_defined_tokens_are_always_found_longest_first(tmp_path: Path) -> None:
    gemma = build(tmp_path, "gemma")
    one, two = gemma.encode("\n", False)[0], gemma.encode("\n\n", False)[0]
    assert gemma.encode("\n\n\n", False) == [two, one]


def test_a_space_before_the_text_is_taken_away_again(tmp_path: Path) -> None:
    pieces = {"▁": -1.0, "a": -1.0, "▁a": 0.0}
    tokenizer = build(tmp_path, sentence_piece(pieces, add_space_prefix=True))
    ids = tokenizer.encode("a", add_special_tokens=False)
    assert [tokenizer.token_bytes(i) for i in ids] == [b" a"]
    assert tokenizer.decode(ids) == "a"
    assert tokenizer.decode_bytes(ids) == b" a"
    assert tokenizer.encode("a")[1:] == ids
    after = tokenizer.encode("<end>a", add_special_tokens=False, parse_special=True)
    assert after[1:] == ids


def test_tokens_that_end_an_answer(tmp_path: Path) -> None:
    assert build(tmp_path, "llama").eos_ids == {0, 2}
    assert build(tmp_path, "gemma").eos_ids == {1, 6}
    assert build(tmp_path, "llama", eot_token_id=7).eos_ids == {0, 2, 7}


def test_pickles_and_compares_by_content(tokenizer: Tokenizer, tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy == tokenizer
    assert hash(copy) == hash(tokenizer)
    assert copy.encode("the fox 12\n<|im_end|>") == tokenizer.encode("the fox 12\n<|im_end|>")
    assert copy != build(tmp_path, "llama", chat_template="other")


def test_threads_share_one(tokenizer: Tokenizer) -> None:
    texts = strings(10)
    alone = [tokenizer.encode(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(tokenizer.encode, texts)) == alone


def test_nul_is_a_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\0b", add_special_tokens=False)) == "a\0b"


@pytest.mark.parametrize(("text", "position"), [("\ud800", 0), ("ab\udfff", 2)])
def test_lone_surrogates_are_refused_with_their_position(
    tokenizer: Tokenizer, text: str, position: int
) -> None:
    with pytest.raises(ValueError, match=f"position {position}"):
        tokenizer.encode(text)


@pytest.mark.parametrize("text", [b"bytes", None, 3, ["a"]])
def test_what_is_no_text_is_a_type_error(tokenizer: Tokenizer, text: Any) -> None:
    with pytest.raises(TypeError, match="text must be str"):
        tokenizer.encode(text)


@pytest.mark.parametrize("token_id", [-1, 10_000, 2**31, 2**63, -(2**63)])
def test_ids_out_of_range_are_value_errors(tokenizer: Tokenizer, token_id: int) -> None:
    with pytest.raises(ValueError, match=r"ids\[1\]"):
        tokenizer.decode([0, token_id])


@pytest.mark.parametrize("token_id", [True, 1.0, "1", None, np.bool_(True), np.float32(1)])
def test_ids_that_are_no_whole_numbers_are_type_errors(tokenizer: Tokenizer, token_id: Any) -> None:
    with pytest.raises(TypeError, match=r"ids\[0\]"):
        tokenizer.decode([token_id])


@pytest.mark.parametrize("token_id", [-1, 10_000, 2**80])
def test_one_token_out_of_range_is_a_value_error(tokenizer: Tokenizer, token_id: int) -> None:
    for ask in (tokenizer.token_bytes, tokenizer.is_special):
        with pytest.raises(ValueError, match="not in"):
            ask(token_id)


@pytest.mark.parametrize("token_id", [1.0, "1", None])
def test_one_token_of_another_kind_is_a_type_error(tokenizer: Tokenizer, token_id: Any) -> None:
    for ask in (tokenizer.token_bytes, tokenizer.is_special):
        with pytest.raises(TypeError, match=r"ids\[0\]"):
            ask(token_id)


def test_ids_may_come_in_any_row(tokenizer: Tokenizer) -> None:
    text = tokenizer.decode([1, 2])
    for ids in (np.array([1, 2], np.int64), (np.uint8(1), 2), (i for i in (1, 2)), {1: 0, 2: 0}.keys()):
        assert tokenizer.decode(ids) == text
    for none in ("12", 12, None):
        with pytest.raises(TypeError, match="list of ints"):
            tokenizer.decode(none)  # type: ignore[arg-type]
