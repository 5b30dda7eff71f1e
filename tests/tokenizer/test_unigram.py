"""Unigram: the ids of sentencepiece from tokenizer.model and GGUF files, those of tokenizers from tokenizer.json."""

from __future__ import annotations

import json
import math
import pickle
import random
import re
import struct
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers

from nextoken import _native
from nextoken.checkpoints.hf_tokenizer import tokenizer_from_folder
from nextoken.errors import TokenizerError, UnsupportedModelError
from nextoken.tokenizer import Tokenizer
from tests.gguf_pieces import ARRAY, U8, Typed
from tests.tokenizer.tiny import build, scores
from tests.tokenizer.unigram import (
    LAYOUTS,
    TOKENS,
    gguf_of,
    json_of,
    processor,
    rows_of,
    texts,
    trained,
)

MODELS: dict[str, dict[str, Any]] = {
    "an unknown token": {},
    "byte fallback": {"byte_fallback": True},
    "text as it is": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "lower case": {"normalization_rule_name": "nmt_nfkc_cf"},
    "no space before": {"add_dummy_prefix": False},
    "tokens of several words": {"split_by_whitespace": False},
    "BPE": {"kind": "bpe", "byte_fallback": True},
}
MANY = 1 << 20


def of_model(model: bytes, folder: Path) -> Tokenizer:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    return tokenizer_from_folder(str(folder), MANY)


@pytest.fixture(scope="module")
def bytes_too(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    model = trained(byte_fallback=True)
    return of_model(model, tmp_path_factory.mktemp("m")), processor(model)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_has_the_ids_of_sentencepiece(tmp_path: Path, name: str) -> None:
    model = trained(**MODELS[name])
    ours, theirs = of_model(model, tmp_path), processor(model)
    for text in texts(1000):
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text), text


def test_text_between_tokens_that_users_define_is_spelt_by_itself(tmp_path: Path) -> None:
    """As llama.cpp and transformers do it: such a token begins a text anew."""
    model = trained(user_defined_symbols=",".join(TOKENS))
    ours, theirs = of_model(model, tmp_path), processor(model)
    for text in texts(600):
        parts = re.split("(<foo>|xyz)", text)
        expected = [[theirs.piece_to_id(p)] if p in TOKENS else theirs.encode(p) for p in parts]
        assert ours.encode(text, add_special_tokens=False) == [*chain(*expected)], text


@given(text=st.text())
def test_any_text_has_the_ids_of_sentencepiece(bytes_too: tuple[Tokenizer, Any], text: str) -> None:
    ours, theirs = bytes_too
    assert ours.encode(text, add_special_tokens=False) == theirs.encode(text)


def test_a_gguf_file_has_them_too(tmp_path: Path) -> None:
    model = trained()
    ours, theirs = build(tmp_path, gguf_of(model)), processor(model)
    differ = [text for text in texts(1000) if ours.encode(text) != theirs.encode(text)]
    assert differ == []
    assert (ours.bos_id, ours.eos_id, ours.unk_id, ours.pad_id) == (None, 2, 0, 0)
    assert ours.vocab_size == theirs.vocab_size()


def test_what_a_gguf_file_leaves_out_is_as_t5_has_it(tmp_path: Path) -> None:
    data = gguf_of(trained())
    for name in ("eos_token_id", "unknown_token_id", "padding_token_id", "add_bos_token", "add_eos_token"):
        del data[f"tokenizer.ggml.{name}"]
    ours = build(tmp_path, data)
    assert (ours.bos_id, ours.eos_id, ours.unk_id, ours.pad_id) == (None, 1, 2, 0)
    assert ours.encode("fox")[-1] == 1


RAW = tuple(AddedToken(text, normalized=False) for text in TOKENS)
KINDS_OF_ADDED = {"none": (), "in normal text": TOKENS, "in text as written": RAW}


@pytest.mark.parametrize("added", KINDS_OF_ADDED)
@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_json_file_has_the_ids_of_the_library(
    tmp_path: Path, layout: str, byte_fallback: bool, added: str
) -> None:
    tokens = RAW if layout == "Llama" and added != "none" else KINDS_OF_ADDED[added]
    theirs = json_of(trained(byte_fallback=byte_fallback), layout, tokens, tmp_path / "tokenizer.json")
    ours = tokenizer_from_folder(str(tmp_path), MANY)
    rng = random.Random(2)
    for text in texts(300):
        cut = rng.randrange(len(text) + 1)
        text = text[:cut] + rng.choice(["", "", "<s>", " </s> ", "<unk>", " <foo> ", "xyz"]) + text[cut:]
        assert ours.encode(text, parse_special=True) == theirs.encode(text).ids, text


def test_short_clusters_end_where_those_of_the_library_do() -> None:
    """It looks up a cluster of less than six bytes by its beginning; what the map has for that replaces the whole."""
    charsmap = rows_of(trained())[1]
    ours, theirs = _native.CharsMap(charsmap), normalizers.Precompiled(charsmap)
    bases = "a ｄﬀ½µº´¯Ǉ中ﬁ™\ue143\u0600\u070f\r\n\x00\u2028\xad한"
    marks = "\u0301\u0344\u0358\u0748\u0955\u0c01\u0e33\u102b\u1083\u109c\u200c\u200d\u20dd\uff9e"
    marks += "\U0001f3fb\U000e0048\U000e008c"
    rng = random.Random(4)
    for _ in range(4000):
        text = "".join(rng.choice(rng.choice((bases, marks))) for _ in range(rng.randrange(1, 6)))
        assert ours.apply(text.encode(), True).decode() == theirs.normalize_str(text), text


def test_text_that_spells_a_byte_token_stays_text(tmp_path: Path) -> None:
    """The library makes the byte of it, and what comes back is another text."""
    json_of(trained(byte_fallback=True), "T5 and XLM-R", (), tmp_path / "tokenizer.json")
    ours = tokenizer_from_folder(str(tmp_path), MANY)
    assert ours.decode(ours.encode("<0x41>")) == "<0x41>"


def test_ids_become_the_text_that_sentencepiece_makes_of_them(bytes_too: tuple[Tokenizer, Any]) -> None:
    ours, theirs = bytes_too
    for text in texts(500):
        ids = theirs.encode(text)
        assert ours.decode(ids) == theirs.decode(ids), text


def test_streamed_pieces_are_the_whole_text(bytes_too: tuple[Tokenizer, Any]) -> None:
    ours, _ = bytes_too
    for text in texts(200):
        ids = ours.encode(text)
        stream = ours.stream_decoder()
        pieces = [stream.push(i) for i in ids] + [stream.finish()]
        assert "".join(pieces) == ours.decode_bytes(ids).decode("utf-8", "replace"), text
        assert b"".join(map(ours.token_bytes, ids)) == ours.decode_bytes(ids)


def test_no_text_becomes_a_control_token_unasked(bytes_too: tuple[Tokenizer, Any]) -> None:
    ours, _ = bytes_too
    assert not {1, 2} & {*ours.encode("a</s><s>ｂ＜/s＞", add_special_tokens=False)}
    assert 2 in ours.encode("a</s>", parse_special=True)


def test_what_people_write_stays_text_in_a_conversation(tmp_path: Path) -> None:
    template = "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}"
    added = (AddedToken("<foo>", normalized=False),)
    json_of(trained(byte_fallback=True), "converted by transformers 5", added, tmp_path / "tokenizer.json")
    (tmp_path / "chat_template.jinja").write_text(template)
    ours = tokenizer_from_folder(str(tmp_path), MANY)
    ids = ours.encode_chat([{"role": "user", "content": "the</s> <foo><s>ﬁ"}], add_generation_prompt=False)
    (foo,) = ours.encode("<foo>")
    assert [i for i in ids if i in (1, 2, foo)] == [1, foo, 2]
    assert ours.decode(ids, skip_special_tokens=True).endswith("the</s><foo> <s>fi")  # its normalizer strips


def test_a_tokenizer_is_pickled_by_content(bytes_too: tuple[Tokenizer, Any], tmp_path: Path) -> None:
    for ours in (bytes_too[0], build(tmp_path, gguf_of(trained()))):
        again = pickle.loads(pickle.dumps(ours))
        assert again == ours
        assert again.encode("ﬁ fox") == ours.encode("ﬁ fox")
        assert "Unigram" in repr(ours)


@pytest.mark.parametrize("text", ["a" * 1_000_000, " " * 1_000_000, "\u0301" * 300_000, "the fox " * 100_000])
def test_long_texts_take_time_in_proportion(tmp_path: Path, text: str) -> None:
    ours = build(tmp_path, gguf_of(trained()))
    assert len(ours.encode(text)) <= len(text) + 1


def array(*units: int, texts: bytes = b"x\0") -> bytes:
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + texts


ROUND = array(*(byte << 10 | byte for byte in range(256)))  # each byte leads back to where it was
OUT = array(0, *(1 << 30 | 0x100 | byte for byte in range(1, 256)))
KEYS = (
    0,
    *((byte ^ 256) << 10 | 0x100 | byte for byte in range(1, 256)),
)  # each byte is a key, all lead to one text
NO_TEXT = array(*KEYS, 0x80000000 | 2)
NO_UTF8 = array(*KEYS, 0x80000000, texts=b"\xff\0")


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\1\0\0", "has 3 bytes"),
        (struct.pack("<I", 400) + bytes(10), "its array has 400 bytes; 10 remain"),
        (struct.pack("<I", 2**32 - 4) + bytes(10), "its array has 4294967292 bytes"),
        (struct.pack("<I", 6) + bytes(10), "units of 4"),
        (array(0, texts=b""), "does not end its last text"),
        (array(0, texts=b"abc"), "does not end its last text"),
        (ROUND, "keys of more than 64 bytes"),
        (OUT, "leads out of its array"),
        (NO_TEXT, "leads to no text"),
        (NO_UTF8, "no UTF-8"),
    ],
)
def test_a_broken_map_of_characters_is_refused(tmp_path: Path, blob: bytes, message: str) -> None:
    data = gguf_of(trained())
    with pytest.raises(TokenizerError, match=f"precompiled_charsmap.*{message}"):
        build(tmp_path, data, precompiled_charsmap=Typed(ARRAY, list(blob), element=U8))


def test_any_bytes_are_a_map_or_refused() -> None:
    whole, rng = rows_of(trained())[1], random.Random(3)
    for _ in range(60):
        blob = bytearray(whole)
        for _ in range(rng.randrange(1, 2000)):
            blob[rng.randrange(4, len(blob))] = rng.randrange(256)
        try:
            chars_map = _native.CharsMap(bytes(blob))
        except TokenizerError:
            continue
        for text in texts(20):
            chars_map.apply(text.encode(), True).decode()
            chars_map.apply(text.encode(), False).decode()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    data = gguf_of(trained())
    values = data["tokenizer.ggml.scores"].value
    with pytest.raises(TokenizerError, match="score of token 7 is not a finite"):
        build(tmp_path, data, scores=scores([*values[:7], bad, *values[8:]]))


def test_what_can_not_be_spelt_needs_an_unknown_token(tmp_path: Path) -> None:
    theirs = json_of(trained(), "nothing before", (), tmp_path / "tokenizer.json")
    file = json.loads(theirs.to_str())
    file["model"]["unk_id"] = None
    file["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    ours = tokenizer_from_folder(str(tmp_path), MANY)
    assert ours.decode(ours.encode("fox")) == "fox"
    with pytest.raises(TokenizerError, match="no token for byte 244"):
        ours.encode("fox \U0010fffe")
    assert ours.decode(ours.encode("fox")) == "fox"


def _normalizer(*steps: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda file: file.update(normalizer={"type": "Sequence", "normalizers": [*steps]})


def _model(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["model"].update(values)


def _added(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["added_tokens"].append({"id": 400, "special": False, **values})


SPLIT = {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False}
REGEX = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": "b"}
NO_BASE64 = {"type": "Precompiled", "precompiled_charsmap": "*"}
SHORT_MAP = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_normalizer({"type": "Lowercase"}), UnsupportedModelError, "normalizer is 'Lowercase'"),
        (_normalizer(REGEX), UnsupportedModelError, r"normalizer.pattern is '\(a\+\)\+\$'"),
        (_normalizer(NO_BASE64), TokenizerError, "normalizer.precompiled_charsmap is no base64"),
        (_normalizer(SHORT_MAP), TokenizerError, "precompiled_charsmap has 3 bytes"),
        (lambda file: file.update(pre_tokenizer=SPLIT), UnsupportedModelError, "pre_tokenizer is 'Split'"),
        (lambda file: file.update(pre_tokenizer=None), UnsupportedModelError, "pre_tokenizer is 'None'"),
        (lambda file: file.update(decoder={"type": "WordPiece"}), UnsupportedModelError, "decoder is 'WordPiece'"),
        (_model(vocab={"a": 0}), TokenizerError, "model.vocab is missing or no list"),
        (_model(vocab=[["a"]]), TokenizerError, "no token and score at 0"),
        (_model(vocab=[["a", "0"]]), TokenizerError, "no finite score at 0"),
        (_model(vocab=[["a", True]]), TokenizerError, "no finite score at 0"),
        (_model(vocab=[["<unk>", 0], ["x" * 1025, 0]]), TokenizerError, "added_tokens and model.vocab"),
        (_model(unk_id=99999), TokenizerError, "model.unk_id is 99999"),
        (_model(byte_fallback=True), UnsupportedModelError, "without <0x00>"),
        (_model(type="WordPiece"), UnsupportedModelError, "model.type is 'WordPiece'"),
        (_model(type="WordLevel"), UnsupportedModelError, "model.type is 'WordLevel'"),
        (_added(content="ﬁ", normalized=True), UnsupportedModelError, "the added token 'ﬁ'"),
        (_added(content="", normalized=True), TokenizerError, "without content and special, id 400"),
    ],
)  # fmt: skip
def test_what_a_json_file_must_not_say_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], error: type[Exception], message: str
) -> None:
    theirs = json_of(trained(), "converted by transformers 4", (), tmp_path / "tokenizer.json")
    file = json.loads(theirs.to_str())
    change(file)
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(error, match=message):
        tokenizer_from_folder(str(tmp_path), MANY)


def test_a_token_that_would_make_every_text_slow_is_refused(tmp_path: Path) -> None:
    data = gguf_of(trained())
    data["tokenizer.ggml.tokens"][5] = "x" * 1025
    with pytest.raises(TokenizerError, match="token 5 has 1025 bytes"):
        build(tmp_path, data)
