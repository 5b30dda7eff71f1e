"""Bad tensor tables: rows B1 to B9 and B19 of the list of bad inputs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from nextoken.checkpoints.gguf import open_gguf
from nextoken.errors import ModelFormatError, ModelTruncatedError, UnsupportedModelError
from tests import gguf_files as g


def refuse(tmp_path: Path, infos: list[bytes], *words: str, data: int = 4096, **options) -> Exception:
    """The table must be refused with an error of class `error` that contains the words."""
    error = options.pop("error", ModelFormatError)
    path = g.write_gguf(tmp_path / "bad.gguf", infos=infos, data=bytes(data), **options)
    with pytest.raises(error) as caught:
        open_gguf(path)
    for word in words:
        assert word in str(caught.value)
    if isinstance(caught.value, ModelFormatError):
        assert caught.value.path == str(path)
        assert caught.value.field
    return caught.value


GOOD = g.tensor_info("good", (4,), "F32", 0)


@pytest.mark.parametrize("name", ["n" * 64, "n" * 1000, "", b"\xff", "a\0b", "a\x1bb"])
def test_b1_names(tmp_path: Path, name: str | bytes) -> None:
    refuse(tmp_path, [GOOD, g.tensor_info(name, (4,), "F32", 32)], "tensor name[1]")


def test_b1_duplicate_name(tmp_path: Path) -> None:
    infos = [GOOD, g.tensor_info("other", (4,), "F32", 32), g.tensor_info("good", (4,), "F32", 64)]
    assert refuse(tmp_path, infos, "'good'", "twice", "0 and 2").field == "good"


def test_b1_a_name_of_63_bytes_is_fine(tmp_path: Path) -> None:
    infos = [g.tensor_info("n" * 63, (4,), "F32", 0)]
    assert list(open_gguf(g.write_gguf(tmp_path / "a.gguf", infos=infos, data=bytes(32))).tensors) == [
        "n" * 63
    ]


@pytest.mark.parametrize("n_dims", [0, 5, 2**31, 2**32 - 1])
def test_b2_number_of_dimensions(tmp_path: Path, n_dims: int) -> None:
    refuse(tmp_path, [g.tensor_info("t", (4,) * 5, "F32", 0, n_dims=n_dims)], "'t'", f"{n_dims} dimensions")


@pytest.mark.parametrize("n", [0, -1, -(2**63), 2**63])
@pytest.mark.parametrize("where", [0, 1, 3])
def test_b3_a_dimension_that_is_none(tmp_path: Path, n: int, where: int) -> None:
    shape = [4, 4, 4, 4]
    shape[where] = n
    error = refuse(tmp_path, [g.tensor_info("t", shape, "F32", 0)], "'t'", f"dimension {where}")
    assert (error.field, error.offset is not None) == ("t", True)


@pytest.mark.parametrize(
    "shape", [(2**32, 2**31), (2**62, 2), (2**63 - 1, 2), (2**16,) * 4, (2**63 - 1,) * 4]
)
def test_b3_product_that_overflows(tmp_path: Path, shape: tuple[int, ...]) -> None:
    refuse(tmp_path, [g.tensor_info("t", shape, "F32", 0)], "'t'", "larger than any file")


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2**62,), "F32"),
        ((2**61,), "F32"),
        ((2**31, 2**31), "F32"),
        ((2**61 - 1,), "F32"),
        ((2**63 - 32,), "Q8_0"),
    ],
)
def test_b4_bytes_that_overflow(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    refuse(tmp_path, [g.tensor_info("t", shape, kind, 0)], "'t'", "larger than any file")


@pytest.mark.parametrize(
    ("row", "kind"), [(31, "Q8_0"), (33, "Q4_0"), (128, "Q4_K"), (255, "Q6_K"), (1, "Q5_1")]
)
def test_b5_rows_of_broken_blocks(tmp_path: Path, row: int, kind: str) -> None:
    refuse(tmp_path, [g.tensor_info("t", (row, 256), kind, 0)], "'t'", f"rows of {row}", kind)


@pytest.mark.parametrize("number", [4, 5, 31, 32, 33, 36, 37, 38, 43, 255, 2**31, -1])
def test_b6_types_that_are_unknown_or_gone(tmp_path: Path, number: int) -> None:
    info = g.tensor_info("blk.0.w", (256,), number, 0)
    refuse(tmp_path, [info], "'blk.0.w'", f"type number {number % 2**32}", error=UnsupportedModelError)


def test_b6_a_withdrawn_type_is_named(tmp_path: Path) -> None:
    refuse(tmp_path, [g.tensor_info("t", (32,), 4, 0)], "Q4_2", "convert", error=UnsupportedModelError)


@pytest.mark.parametrize("offset", [1, 16, 31, 2**64 - 1])
def test_b7_unaligned_offset(tmp_path: Path, offset: int) -> None:
    refuse(tmp_path, [g.tensor_info("t", (4,), "F32", offset)], "'t'", "no multiple of the alignment 32")


@pytest.mark.parametrize("offset", [4096, 8192, 2**40, 2**62])
def test_b7_offset_past_the_end(tmp_path: Path, offset: int) -> None:
    error = refuse(
        tmp_path, [GOOD, g.tensor_info("t", (4,), "F32", offset)], "'t'", error=ModelTruncatedError
    )
    assert error.actual < error.expected


@pytest.mark.parametrize("offset", [2**63 - 32, 2**63, 2**64 - 32])
def test_b7_offset_that_wraps(tmp_path: Path, offset: int) -> None:
    refuse(tmp_path, [g.tensor_info("t", (4,), "F32", offset)], "'t'", "larger than any file")


def test_b7_a_tensor_that_ends_past_the_file(tmp_path: Path) -> None:
    error = refuse(tmp_path, [g.tensor_info("t", (1025,), "F32", 0)], "needs 4100 bytes, 4096 remain", "download",
                   error=ModelTruncatedError)  # fmt: skip
    assert (error.field, error.expected - error.actual) == ("t", 4)


@pytest.mark.parametrize("second", [0, 32])
def test_b8_overlap(tmp_path: Path, second: int) -> None:
    infos = [g.tensor_info("wide", (16,), "F32", 0), g.tensor_info("t", (4,), "F32", second)]
    refuse(tmp_path, infos, "overlaps", "'wide'")
    refuse(tmp_path, infos[::-1], "overlaps", "'wide'")


def test_b8_gaps_and_any_order_are_accepted(tmp_path: Path) -> None:
    infos = [g.tensor_info("last", (4,), "F32", 1024), g.tensor_info("first", (4,), "F32", 64)]
    checkpoint = open_gguf(g.write_gguf(tmp_path / "a.gguf", infos=infos, data=bytes(1040)))
    start = checkpoint.native.data_offset
    assert [t.offset - start for t in checkpoint.tensors.values()] == [1024, 64]


def test_b9_a_million_tensors(tmp_path: Path) -> None:
    infos = [b"".join(g.tensor_info(f"{i:x}", (1,), "F32", 0) for i in range(1000))]
    path = g.write_gguf(tmp_path / "a.gguf", infos=infos * 1000, n_tensors=10**6)
    with pytest.raises(ModelFormatError, match="tensor_count of 1000000"):
        open_gguf(path)


def test_b19_bytes_after_the_last_tensor_are_ignored_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = {"t": (np.ones(5, "<f4"), "F32", (5,))}
    data = g.gguf_bytes({}, tensors)
    path = tmp_path / "a.gguf"
    for extra, warned in ((b"", False), (b"garbage", True)):
        path.write_bytes(data + extra)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "nextoken"):
            assert open_gguf(path).tensors["t"].nbytes == 20
        assert bool(caplog.records) == warned
        assert ("7 bytes after the last tensor" in caplog.text) == warned


def test_padding_of_the_last_tensor_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(g.gguf_bytes({}, {"t": (np.ones(5, "<f4"), "F32", (5,))})[:-12])
    assert open_gguf(path).tensors["t"].nbytes == 20
