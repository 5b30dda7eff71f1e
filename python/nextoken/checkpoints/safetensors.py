"""Headers of safetensors files: names, types and places, every one checked against the file.

A reader of our own, since the `safetensors` package maps files and tells no offsets, while weights are read natively,
by position, straight into their packed place. The checks are those of the format's reference implementation.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nextoken import _native
from nextoken.checkpoints.gguf import shortened
from nextoken.checkpoints.json_file import parse_object
from nextoken.errors import ModelFormatError, ModelTruncatedError, UnsupportedModelError

MOST_HEADER_BYTES = 100_000_000
# Bits of an element.
DTYPES = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16,
          "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file. `shape` as PyTorch has it, rows first; `offset` counts from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def read_header(file: _native.File, path: str) -> dict[str, Stored]:
    """The tensors of a safetensors file by name. They lie in the file, fill it, and do not overlap.

    Raises ModelTruncatedError or ModelFormatError with `.path .offset .field`, UnsupportedModelError for a type of
    element that is not known, OSError.
    """
    if file.size < 8:
        raise ModelTruncatedError(
            f"{path}: {file.size} bytes, a safetensors file begins with 8 for the length of its header",
            path=path, offset=0, field="header length", expected=8, actual=file.size,
        )  # fmt: skip
    n = int.from_bytes(file.read(0, 8, "header length"), "little")
    if n > MOST_HEADER_BYTES:
        raise ModelFormatError(
            f"{path}: the header's length is {n}, at most {MOST_HEADER_BYTES} is allowed: "
            "this is no safetensors file, or a damaged one",
            path=path, offset=0, field="header length",
        )  # fmt: skip
    if n > file.size - 8:
        raise ModelTruncatedError(
            f"{path}: the header needs {n} bytes, {file.size - 8} remain. The download may be incomplete: compare "
            "its size with the source",
            path=path, offset=8, field="header", expected=8 + n, actual=file.size,
        )  # fmt: skip
    header = parse_object(file.read(8, n, "header"), path, 8, "header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _error(path, "__metadata__", "is no object of strings, so it is no metadata")
    tensors = {name: _stored(name, entry, path, 8 + n, file.size) for name, entry in header.items()}
    end = 8 + n
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if tensor.offset != end:
            what = "overlaps another" if tensor.offset < end else "leaves a hole before it"
            raise _error(
                path, name, f"at byte {tensor.offset} {what}, byte {end} was expected", tensor.offset
            )
        end += tensor.nbytes
    if end != file.size:
        raise ModelFormatError(
            f"{path}: the last tensor ends at byte {end}, the file at {file.size}",
            path=path, offset=end, field="data",
        )  # fmt: skip
    return tensors


def _stored(name: str, entry: Any, path: str, data: int, size: int) -> Stored:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _error(path, name, "is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        raise _error(path, name, f"has the dtype {shortened(str(dtype))}, which is none of the format")
    if dtype not in DTYPES:
        raise UnsupportedModelError(
            f"{path}: tensor {shortened(name)} is {shortened(dtype)}, this version knows {', '.join(DTYPES)}"
        )
    if not _naturals(shape) or len(shape) > 8:
        raise _error(path, name, "has a shape that is no short list of sizes")
    if not _naturals(offsets) or len(offsets) != 2:
        raise _error(path, name, "has data_offsets that are no two positions")
    begin, end = offsets
    nbytes = math.prod(shape) * DTYPES[dtype] // 8
    if end - begin != nbytes:
        raise _error(
            path, name, f"takes {end - begin} bytes, {nbytes} are what {dtype} {shape} needs", data + begin
        )
    if end > size - data:
        raise ModelTruncatedError(
            f"{path}: tensor {shortened(name)} at byte {data + begin} needs {nbytes} bytes, "
            f"{max(0, size - data - begin)} remain. The download may be incomplete: compare its size with the source",
            path=path, offset=data + begin, field=name, expected=data + end, actual=size,
        )  # fmt: skip
    return Stored(dtype, tuple(shape), data + begin, nbytes)


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**48 for v in values)


def _error(path: str, name: str, what: str, offset: int | None = None) -> ModelFormatError:
    return ModelFormatError(f"{path}: tensor {shortened(name)} {what}", path=path, offset=offset, field=name)
