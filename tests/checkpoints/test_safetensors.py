"""Headers of safetensors files that strangers wrote: each fault gives a typed error that names it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import _native, errors
from nextoken.checkpoints.safetensors import Stored, read_header
from tests.hf_folders import safetensors_bytes

TENSORS = {
    "a": np.arange(6, dtype="<f4").reshape(2, 3),
    "b": np.arange(4, dtype="<f2"),
    "c": np.zeros((0, 5), "<f4"),
}


def header_of(path: Path, data: bytes) -> dict[str, Stored]:
    path.write_bytes(data)
    file = _native.File(path)
    try:
        return read_header(file, str(path))
    finally:
        file.close()


def test_a_header_says_types_shapes_and_places(tmp_path: Path) -> None:
    data = safetensors_bytes(TENSORS)
    found = header_of(tmp_path / "m", data)
    assert list(found) == ["a", "b", "c"]
    for name, values in TENSORS.items():
        stored = found[name]
        assert stored.shape == values.shape
        assert data[stored.offset : stored.offset + stored.nbytes] == values.tobytes()


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F16", "shape": [4], "data_offsets": [24, 32]} | changes


@pytest.mark.parametrize(
    ("b", "message"),
    [
        ([], "is not described"),
        ({"dtype": "F16", "shape": [4]}, "is not described"),
        (entry(extra=1), "is not described"),
        (entry(dtype=3), "dtype '3'"),
        (entry(shape=4), "no short list"),
        (entry(shape=[-4]), "no short list"),
        (entry(shape=[4.0]), "no short list"),
        (entry(shape=[True]), "no short list"),
        (entry(shape=[2**60]), "no short list"),
        (entry(shape=[1] * 9), "no short list"),
        (entry(shape=[1] * 1_000_000), "no short list"),
        (entry(data_offsets=[24]), "no two positions"),
        (entry(data_offsets=["24", "32"]), "no two positions"),
        (entry(data_offsets=[-8, 0]), "no two positions"),
        (entry(data_offsets=[24.0, 32.5]), "no two positions"),
        (entry(data_offsets=[24, 2**63]), "no two positions"),
        (entry(data_offsets=[32, 24]), "takes -8 bytes"),
        (entry(data_offsets=[24, 33]), "takes 9 bytes, 8 are"),
        (entry(shape=[5]), "takes 8 bytes, 10 are"),
        (entry(shape=[2**40, 2**40]), "takes 8 bytes"),
        (entry(data_offsets=[16, 24]), "overlaps"),
        (entry(data_offsets=[0, 8]), "overlaps|hole"),
    ],
)
def test_an_entry_that_lies_is_named(tmp_path: Path, b: Any, message: str) -> None:
    with pytest.raises(errors.ModelFormatError, match=message) as caught:
        header_of(tmp_path / "m", safetensors_bytes(TENSORS, {"b": b}))
    assert caught.value.field in ("a", "b", "c")


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F8_E4M3FNUZ", "C64", "F17", ""])
def test_an_unknown_type_of_element_is_unsupported(tmp_path: Path, dtype: str) -> None:
    """Row D7."""
    with pytest.raises(errors.UnsupportedModelError, match=f"'b' is '{dtype}', this version knows"):
        header_of(tmp_path / "m", safetensors_bytes(TENSORS, {"b": entry(dtype=dtype)}))


@pytest.mark.parametrize("metadata", [entry(), {"format": 1}, {"a": None}, ["pt"], "pt", None])
def test_metadata_are_an_object_of_strings(tmp_path: Path, metadata: Any) -> None:
    """Row D8: a tensor of that name, too, is refused."""
    body = safetensors_bytes(TENSORS)
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")]) | {"__metadata__": metadata}
    text = json.dumps(header).encode()
    data = body[8 + int.from_bytes(body[:8], "little") :]
    with pytest.raises(errors.ModelFormatError, match="'__metadata__' is no object of strings"):
        header_of(tmp_path / "m", struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("pad", ["{}   ", " {}", "{}\n\t"])
def test_a_header_may_be_padded_and_empty(tmp_path: Path, pad: str) -> None:
    """Rows D2 and D9."""
    assert header_of(tmp_path / "m", struct.pack("<Q", len(pad)) + pad.encode()) == {}


def test_a_tensor_beyond_the_file_is_truncated(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelTruncatedError, match="'b' at byte") as caught:
        header_of(tmp_path / "m", safetensors_bytes(TENSORS, {"b": entry(data_offsets=[32, 40])}))
    assert caught.value.expected == caught.value.actual + 8


def test_holes_and_bytes_after_the_last_tensor_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFormatError, match="'b' at byte .* leaves a hole"):
        header_of(tmp_path / "m", safetensors_bytes(TENSORS, {"a": None}))
    with pytest.raises(errors.ModelFormatError, match="the last tensor ends at byte"):
        header_of(tmp_path / "m", safetensors_bytes(TENSORS) + b"x")


@pytest.mark.parametrize(
    ("data", "error", "field"),
    [
        (b"", errors.ModelTruncatedError, "header length"),
        (b"1234567", errors.ModelTruncatedError, "header length"),
        (struct.pack("<Q", 2**63) + b"{}", errors.ModelFormatError, "header length"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", errors.ModelFormatError, "header length"),
        (struct.pack("<Q", 1) + b"{", errors.ModelFormatError, "header"),
        (struct.pack("<Q", 1) + b"1", errors.ModelFormatError, "header"),
        (struct.pack("<Q", 4) + b"{}{}", errors.ModelFormatError, "header"),
        (struct.pack("<Q", 100_000_001) + b"{}", errors.ModelFormatError, "header length"),
        (struct.pack("<Q", 3) + b"{}", errors.ModelTruncatedError, "header"),
        (struct.pack("<Q", 0), errors.ModelFormatError, "header"),
        (struct.pack("<Q", 2) + b"[]", errors.ModelFormatError, "header"),
        (struct.pack("<Q", 2) + b"{\xff", errors.ModelFormatError, "header"),
        (struct.pack("<Q", 15) + b'{"a":1,"a":234}', errors.ModelFormatError, "header"),
        (struct.pack("<Q", 50_000) + b"[" * 50_000, errors.ModelFormatError, "header"),
        (b"<!DOCTYPE html><html>not found</html>", errors.ModelFormatError, "header length"),
    ],
)
def test_a_header_that_is_none_names_the_field(
    tmp_path: Path, data: bytes, error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as caught:
        header_of(tmp_path / "m", data)
    assert caught.value.field == field  # type: ignore[attr-defined]
    assert caught.value.path == str(tmp_path / "m")  # type: ignore[attr-defined]


def test_every_cut_is_an_error(tmp_path: Path) -> None:
    data = safetensors_bytes(TENSORS)
    for n in range(len(data)):
        with pytest.raises(errors.ModelFormatError):
            header_of(tmp_path / "m", data[:n])


@given(st.data())
def test_a_changed_byte_is_an_error_or_another_header(tmp_path_factory: Any, data: Any) -> None:
    raw = bytearray(safetensors_bytes(TENSORS))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 33))] = data.draw(st.integers(0, 255))
    try:
        found = header_of(tmp_path_factory.getbasetemp() / "changed", bytes(raw))
    except (errors.ModelFormatError, errors.UnsupportedModelError):
        return
    assert all(0 < t.offset <= t.offset + t.nbytes <= len(raw) for t in found.values())
    json.dumps([*found])
