"""Metadata in the types and ranges that a caller states: rows A17 to A20, and missing or misshapen tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nextoken.architectures import plan
from nextoken.checkpoints.gguf import GGUFCheckpoint, open_gguf
from nextoken.errors import ModelFormatError, UnsupportedModelError
from tests import gguf_files as g


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., GGUFCheckpoint]:
    """Opens a file with the given metadata, under architecture "llama" unless it says otherwise."""

    def make(metadata: dict, **options) -> GGUFCheckpoint:
        metadata = {k: v for k, v in {"general.architecture": "llama", **metadata}.items() if v is not None}
        return open_gguf(g.write_gguf(tmp_path / "a.gguf", metadata, **options))

    return make


def test_a17_architecture_missing_or_no_string(checkpoint) -> None:
    with pytest.raises(ModelFormatError, match="general.architecture is missing"):
        _ = checkpoint({"general.architecture": None}).architecture
    for value in (3, b"\xff", ["llama"]):
        with pytest.raises(ModelFormatError, match="general.architecture"):
            _ = checkpoint({"general.architecture": value}).architecture


def test_a17_architecture_unknown_or_a_megabyte_long(checkpoint) -> None:
    for name in ("mamba", "", "\x1b[2J", "x" * 2**20):
        with pytest.raises(UnsupportedModelError, match="gemma3, .*llama") as caught:
            plan(checkpoint({"general.architecture": name}))
        message = str(caught.value)
        assert len(message) < 2000
        assert message.isascii()
        assert message.isprintable()


@pytest.mark.parametrize("value", ["4", 4.0, True, [4], g.Typed(g.F64, 4.0)])
def test_a18_wrong_type_for_an_integer(checkpoint, value: object) -> None:
    with pytest.raises(ModelFormatError, match="llama.n has type .*an integer was expected") as caught:
        checkpoint({"llama.n": value}).need_int("llama.n")
    assert caught.value.field == "llama.n"
    assert caught.value.offset > 24


@pytest.mark.parametrize("value", ["1", 1, False, [1.0]])
def test_a18_wrong_type_for_a_float(checkpoint, value: object) -> None:
    with pytest.raises(ModelFormatError, match="llama.x has type .*a float was expected"):
        checkpoint({"llama.x": value}).need_float("llama.x")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e30])
def test_a18_floats_out_of_range(checkpoint, value: float) -> None:
    with pytest.raises(ModelFormatError, match="llama.x is .*a finite float above 0"):
        checkpoint({"llama.x": value}).need_float("llama.x", hi=1e9, above=0)


def test_a18_missing(checkpoint) -> None:
    empty = checkpoint({})
    for need in (empty.need_int, empty.need_float, empty.need_str, empty.need_bool):
        with pytest.raises(ModelFormatError, match="llama.n is missing") as caught:
            need("llama.n")
        assert (caught.value.field, caught.value.offset, caught.value.path) == ("llama.n", None, empty.path)
    assert empty.get_int("n", None) is None
    assert (empty.get_int("n", 5), empty.get_float("n", 0.5), empty.get_str("n", "d")) == (5, 0.5, "d")
    assert empty.get_bool("n", True)


@pytest.mark.parametrize(
    "value", [0, 2**32 - 1, g.Typed(g.I32, -1), g.Typed(g.U64, 2**64 - 1), g.Typed(g.I64, -(2**63))]
)
def test_a19_a20_integers_out_of_range(checkpoint, value: object) -> None:
    with pytest.raises(ModelFormatError, match=r"llama.n is -?\d+, an integer from 1 to 512 was expected"):
        checkpoint({"llama.n": value}).need_int("llama.n", lo=1, hi=512)


@pytest.mark.parametrize("kind", [g.U8, g.I8, g.U16, g.I16, g.U32, g.I32, g.U64, g.I64])
def test_integers_of_any_width_are_taken(checkpoint, kind: int) -> None:
    c = checkpoint({"llama.n": g.Typed(kind, 7), "llama.many": g.Typed(g.ARRAY, [1, 7], element=kind)})
    assert c.need_int("llama.n", lo=7, hi=7) == 7
    assert c.need_ints("llama.many", 2) == [1, 7]
    assert c.need_ints("llama.n", 3) == [7, 7, 7]


def test_defaults_do_not_excuse_a_bad_value(checkpoint) -> None:
    with pytest.raises(ModelFormatError, match="of at least 1 was"):
        checkpoint({"n": 0}).get_int("n", 5, lo=1)
    with pytest.raises(ModelFormatError, match="of at most 1.0 was"):
        checkpoint({"n": 2.0}).get_float("n", 0.5, hi=1.0)


def test_integers_for_each_layer(checkpoint) -> None:
    c = checkpoint(
        {"llama.a": [4, 0, 2], "llama.b": g.Typed(g.ARRAY, [1, 0, 1], element=g.BOOL), "llama.s": ["x"]}
    )
    assert c.need_ints("llama.b", 3) == [1, 0, 1]
    for name, n, words in (
        ("a", 2, "has 3 elements, 2"),
        ("a", 3, "has 0 at index 1"),
        ("s", 1, "type arr.str"),
    ):
        with pytest.raises(ModelFormatError, match=words):
            c.need_ints(f"llama.{name}", n, lo=1)


def test_b10_missing_tensors_are_listed(checkpoint) -> None:
    c = checkpoint({}, tensors={"here": (np.ones(4, "<f4"), "F32", (4,))})
    c.require_tensors(["here"])
    names = ["here"] + [f"blk.{i}.w" for i in range(12)]
    with pytest.raises(
        ModelFormatError, match=r"12 tensors are missing: blk.0.w, .*blk.9.w and 2 more$"
    ) as caught:
        c.require_tensors(names)
    assert caught.value.field == "blk.0.w"


def test_b12_shape_that_differs(checkpoint) -> None:
    c = checkpoint({}, tensors={"w": (np.ones((3, 4), "<f4"), "F32", (4, 3))})
    assert c.need_tensor("w", (4, 3)).nbytes == 48
    with pytest.raises(ModelFormatError, match=r"w has shape \(4, 3\), \(3, 4\) was expected"):
        c.need_tensor("w", (3, 4))


def test_metadata_is_a_mapping(checkpoint) -> None:
    metadata = checkpoint({"a": 1}).metadata
    assert dict(metadata) == {"general.architecture": "llama", "a": 1}
    assert metadata.get("b") is None
    for lookup in (metadata.__getitem__, metadata.kind, metadata.length):
        with pytest.raises(KeyError):
            lookup("b")


def test_close_gives_the_descriptor_back_and_keeps_the_header(tmp_path: Path) -> None:
    with open_gguf(g.tiny_llama(tmp_path / "m.gguf")) as c:
        c.native.check_unchanged()
    c.close()
    assert c.need_int("llama.block_count") == 2
    assert "token_embd.weight" in c.tensors
