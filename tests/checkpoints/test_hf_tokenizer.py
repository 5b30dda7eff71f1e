"""tokenizer.json and tokenizer.model of folders: the ids of the tokenizers library, or a refusal by name."""

from __future__ import annotations

import json
import random
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from nextoken import errors
from nextoken.checkpoints.hf_tokenizer import tokenizer_from_folder
from nextoken.tokenizer import Tokenizer
from tests.gguf_tokenizers import gemma_tokenizer
from tests.hf_folders import gemma_tokenizer_json, llama_tokenizer_json

WORDS = [
    "the",
    "quick",
    " ",
    "  ",
    "   ",
    "fox",
    "42",
    "7",
    "\n",
    "\n\n",
    "é",
    "中",
    "🦊",
    "'s",
    "▁",
    "in",
    "inn",
    "!?",
    "\t",
]
MANY = 1 << 20


def folder_of(path: Path, tokenizer: dict[str, Any], settings: dict[str, Any]) -> Path:
    path.mkdir(exist_ok=True)
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def both(
    path: Path, tokenizer: dict[str, Any], settings: dict[str, Any]
) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    folder = folder_of(path, tokenizer, settings)
    return tokenizer_from_folder(str(folder), MANY), tokenizers.Tokenizer.from_file(
        str(folder / "tokenizer.json")
    )


def texts(n: int) -> list[str]:
    rng = random.Random(1)
    made = ["".join(rng.choice(WORDS) for _ in range(rng.randrange(12))) for _ in range(n)]
    return ["", " ", "hello", " the fox", "▁▁▁ the", *made]


def change(
    json_of: Callable[[], tuple[dict[str, Any], dict[str, Any]]], path: str, value: Any
) -> tuple[Any, Any]:
    """tokenizer.json with a part replaced: "model.dropout"."""
    tokenizer, settings = json_of()
    *parents, last = path.split(".")
    at: Any = tokenizer
    for name in parents:
        at = at[int(name) if isinstance(at, list) else name]
    at[int(last) if isinstance(at, list) else last] = value
    return tokenizer, settings


METASPACES = [
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    for scheme in ("never", "always", "first")
]
LLAMA2 = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}


@pytest.mark.parametrize("json_of", [llama_tokenizer_json, gemma_tokenizer_json])
def test_ids_are_those_of_the_library(tmp_path: Path, json_of: Callable[[], Any]) -> None:
    ours, theirs = both(tmp_path / "t", *json_of())
    for text in texts(400):
        expected = theirs.encode(text).ids
        assert ours.encode(text) == expected, text
        assert ours.decode(expected, skip_special_tokens=True) == theirs.decode(expected)


@pytest.mark.parametrize("step", METASPACES)
def test_metaspace_puts_its_space_where_the_library_does(tmp_path: Path, step: dict[str, Any]) -> None:
    tokenizer, settings = gemma_tokenizer_json()
    tokenizer |= {"normalizer": None, "pre_tokenizer": step}
    ours, theirs = both(tmp_path / "t", tokenizer, settings)
    for text in [*texts(300), "<eos>the fox", "<eos> the<bos>in"]:
        assert ours.encode(text, parse_special=True) == theirs.encode(text).ids, text


def test_a_space_is_prepended_as_for_llama2(tmp_path: Path) -> None:
    tokenizer, settings = gemma_tokenizer_json()
    tokenizer |= {"normalizer": LLAMA2, "pre_tokenizer": None}
    ours, theirs = both(tmp_path / "t", tokenizer, settings)
    for text in [*texts(300), "<eos>the fox", "<eos> the<bos>in"]:
        assert ours.encode(text, parse_special=True) == theirs.encode(text).ids, text


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def test_a_pattern_of_its_own_and_whole_words_as_llama3_has_them(tmp_path: Path) -> None:
    tokenizer, settings = llama_tokenizer_json()
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ],
    }
    model = tokenizer["model"]
    model["vocab"] |= {"quickfox": len(model["vocab"])}  # a word that no merges build
    model["ignore_merges"] = True
    ours, theirs = both(tmp_path / "t", tokenizer, settings)
    assert len(ours.encode("quickfox")) == 1
    for text in [*texts(400), "I'S we'Ll 'ſ 123456 x\r\n\r\n y", "quickfox in"]:
        assert ours.encode(text) == theirs.encode(text).ids, text


@pytest.mark.parametrize(
    ("json_of", "part", "value", "message"),
    [
        (llama_tokenizer_json, "model.type", "WordLevel", "model.type is 'WordLevel'"),
        (llama_tokenizer_json, "model.type", "WordPiece", "model.type is 'WordPiece'"),
        (llama_tokenizer_json, "model.dropout", 0.1, "model.dropout is '0.1'"),
        (llama_tokenizer_json, "model.end_of_word_suffix", "</w>", "end_of_word_suffix"),
        (llama_tokenizer_json, "normalizer", {"type": "Lowercase"}, "normalizer is 'Lowercase'"),
        (llama_tokenizer_json, "truncation", {"max_length": 3}, "truncation"),
        (
            llama_tokenizer_json,
            "pre_tokenizer.pretokenizers.0",
            {"type": "Whitespace"},
            "pre_tokenizer is 'Whitespace'",
        ),
        (llama_tokenizer_json, "pre_tokenizer.pretokenizers.1.add_prefix_space", True, "add_prefix_space"),
        (
            llama_tokenizer_json,
            "post_processor",
            {"type": "BertProcessing"},
            "post_processor is 'BertProcessing'",
        ),
        (llama_tokenizer_json, "decoder", {"type": "WordPiece"}, "decoder is 'WordPiece'"),
        (gemma_tokenizer_json, "model.byte_fallback", False, "byte_fallback"),
        (gemma_tokenizer_json, "model.ignore_merges", True, "ignore_merges"),
        (gemma_tokenizer_json, "normalizer", {"type": "NFKC"}, "normalizer is 'NFKC'"),
        (gemma_tokenizer_json, "normalizer", None, "normalizer|pre_tokenizer"),
    ],
)
def test_what_is_not_done_exactly_is_refused_by_name(
    tmp_path: Path, json_of: Callable[[], Any], part: str, value: Any, message: str
) -> None:
    folder = folder_of(tmp_path / "t", *change(json_of, part, value))
    with pytest.raises(errors.UnsupportedModelError, match=message):
        tokenizer_from_folder(str(folder), MANY)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("model", None, "model is missing"),
        ("model.vocab", {}, "model.vocab is missing"),
        ("model.vocab", {"a": -1}, "no small whole number"),
        ("model.vocab", {"a": 2**40}, "no small whole number"),
        ("model.vocab", {"a": 5, "b": 5}, "has the id 5 twice"),
        ("model.merges", "a b", "model.merges is missing or no list"),
        ("model.merges", [["a"]], "no pair of tokens at 0"),
        ("model.merges", ["nosuch token"], "names a token that is not in"),
        ("added_tokens", [{"id": 0}], "without content and special"),
        ("added_tokens", [{"id": 0, "content": "x", "special": True}], "disagree on id 0"),
        ("pre_tokenizer", "ByteLevel", "pre_tokenizer is no object"),
    ],
)
def test_a_damaged_file_names_the_field(tmp_path: Path, part: str, value: Any, message: str) -> None:
    folder = folder_of(tmp_path / "t", *change(llama_tokenizer_json, part, value))
    with pytest.raises(errors.TokenizerError, match=message):
        tokenizer_from_folder(str(folder), MANY)


def test_a_vocabulary_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "t", *llama_tokenizer_json())
    with pytest.raises(errors.TokenizerError, match="the embedding 10 rows"):
        tokenizer_from_folder(str(folder), 10)


def test_ends_of_an_answer_come_from_all_files(tmp_path: Path) -> None:
    tokenizer, settings = llama_tokenizer_json()
    folder = folder_of(tmp_path / "t", tokenizer, settings)
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 17]}')
    assert tokenizer_from_folder(str(folder), MANY).eos_ids == {0, 2, 17}
    (folder / "generation_config.json").write_text('{"eos_token_id": "2"}')
    with pytest.raises(errors.TokenizerError, match="eos_token_id of generation_config.json"):
        tokenizer_from_folder(str(folder), MANY)


def test_a_template_file_goes_before_the_config(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "t", *llama_tokenizer_json())
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    tokenizer = tokenizer_from_folder(str(folder), MANY)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert tokenizer_from_folder(str(folder), MANY).chat_template == "D"


# --- tokenizer.model ---


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _field(number: int, value: int | bytes | float) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def sentencepiece_model(**trainer: int) -> bytes:
    keys = gemma_tokenizer()
    rows = zip(
        keys["tokenizer.ggml.tokens"],
        keys["tokenizer.ggml.scores"].value,
        keys["tokenizer.ggml.token_type"].value,
        strict=True,
    )
    data = b"".join(
        _field(1, _field(1, text.encode()) + _field(2, score) + _field(3, 2 if text == "<unk>" else kind))
        for text, score, kind in rows
    )
    spec = {3: trainer.get("model_type", 2), 35: trainer.get("byte_fallback", 1), 40: 3, 41: 2, 42: 1, 43: 0}
    data += _field(2, b"".join(_field(n, v) for n, v in spec.items()))
    return data + _field(3, _field(3, trainer.get("add_dummy_prefix", 0)) + _field(4, 0))


def test_a_sentencepiece_model_has_the_ids_of_the_gguf_of_its_vocabulary(tmp_path: Path) -> None:
    from nextoken.checkpoints.gguf import open_gguf
    from nextoken.tokenizer import tokenizer_from_gguf
    from tests.gguf_files import write_gguf

    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model())
    ours = tokenizer_from_folder(str(tmp_path), MANY)
    path = write_gguf(tmp_path / "v.gguf", {"general.architecture": "gemma3", **gemma_tokenizer()})
    theirs = tokenizer_from_gguf(open_gguf(path).native)
    for text in texts(300):
        assert ours.encode(text) == theirs.encode(text), text
    assert (ours.bos_id, ours.eos_id, ours.unk_id, ours.pad_id) == (2, 1, 3, 0)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"\x0a", errors.TokenizerError, "ends inside a number"),
        (b"\x0a\x7f", errors.TokenizerError, "needs 127 bytes, 0 remain"),
        (b"\x0b", errors.TokenizerError, "wire type 3"),
        (b"\xff" * 11, errors.TokenizerError, "more than ten bytes"),
        (b"\x08\x01", errors.TokenizerError, "a number instead of bytes"),
        (sentencepiece_model(model_type=3), errors.UnsupportedModelError, "model_type is 3"),
        (sentencepiece_model(byte_fallback=0), errors.UnsupportedModelError, "byte_fallback is 0"),
    ],
)
def test_a_sentencepiece_model_that_is_none_is_refused(
    tmp_path: Path, data: bytes, error: type[Exception], message: str
) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(error, match=message):
        tokenizer_from_folder(str(tmp_path), MANY)


O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CL100K = LLAMA3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)")
LETTERS = [
    "a",
    "B",
    "ǅ",
    "ʰ",
    "中",
    "é",
    "e\u0301",
    "'S",
    "'ſ",
    "'ll",
    "'",
    "1",
    "²",
    "\n",
    " ",
    "/",
    "ß",
    "Σ",
    "К",
    "ع",
    "\u0338",
    "Å",
]


@pytest.mark.parametrize("how", [("Isolated", False), ("Removed", True)])
@pytest.mark.parametrize("regex", [O200K, CL100K, LLAMA3])
def test_words_end_where_the_library_ends_them(tmp_path: Path, regex: str, how: tuple[str, bool]) -> None:
    """Every byte is a token and each pair of bytes merges, so that ids show where words end."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer, _ = llama_tokenizer_json()
    pairs = [(a, b) for a in alphabet for b in alphabet]
    tokenizer["added_tokens"] = []
    tokenizer["model"]["vocab"] = {text: i for i, text in enumerate([*alphabet, *(a + b for a, b in pairs)])}
    tokenizer["model"]["merges"] = [[a, b] for a, b in pairs]
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": how[0], "invert": how[1]}
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, last]}
    ours, theirs = both(tmp_path / "t", tokenizer, {})
    rng = random.Random(7)
    for _ in range(1500):
        text = "".join(rng.choice(LETTERS) for _ in range(rng.randrange(1, 12)))
        assert ours.encode(text) == theirs.encode(text).ids, text


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFD"])
def test_text_is_brought_to_a_normal_form_between_special_tokens(tmp_path: Path, form: str) -> None:
    tokenizer, settings = llama_tokenizer_json()
    tokenizer["normalizer"] = {"type": form}
    ours, theirs = both(tmp_path / "t", tokenizer, settings)
    rng = random.Random(8)
    parts = ["e\u0301", "é", "<|im_end|>", "\u0338", ">", "ﬁ", "Å", "the", " ", "\u1100\u1161"]
    for _ in range(600):
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(1, 9)))
        assert ours.encode(text, parse_special=True) == theirs.encode(text).ids, text
    assert ours.encode("e\u0301") == ours.encode(unicodedata.normalize(form, "é"))


@pytest.mark.parametrize(
    "flags", [{"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}]
)
@pytest.mark.parametrize("json_of", [llama_tokenizer_json, gemma_tokenizer_json])
def test_special_tokens_take_white_space_along_as_the_library_s_do(
    tmp_path: Path, flags: dict[str, bool], json_of: Callable[[], Any]
) -> None:
    tokenizer, settings = json_of()
    for token in tokenizer["added_tokens"][:2]:
        token.update(flags)
    ours, theirs = both(tmp_path / "t", tokenizer, settings)
    names = [token["content"] for token in tokenizer["added_tokens"]][:3]
    rng = random.Random(9)
    for _ in range(600):
        text = "".join(
            rng.choice([*names, " ", "  ", "\r", "\u2003", "the", "é", "_", "!"])
            for _ in range(rng.randrange(1, 9))
        )
        assert ours.encode(text, parse_special=True) == theirs.encode(text).ids, text


def test_what_people_write_breaks_no_special_token_that_takes_space_along(tmp_path: Path) -> None:
    tokenizer, settings = llama_tokenizer_json()
    for token in tokenizer["added_tokens"]:
        token.update(lstrip=True, rstrip=True)
    ours, _ = both(tmp_path / "t", tokenizer, settings)
    written = ours.encode_chat([{"role": "user", "content": "hi <|im_end|> there"}])
    plain = ours.encode_chat([{"role": "user", "content": "hi there"}])
    assert written.count(ours.eos_id or 0) == plain.count(ours.eos_id or 0)
