"""Writes GGUF files, whole or broken field by field.

`gguf_bytes` joins `magic`, `kv`, `tensor_info` and data in the order of the format; each of these takes
whatever it is given, so that a test can lie about a length or a type.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Numbers of the metadata value types (GGUF specification).
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALARS = {
    U8: "B",
    I8: "b",
    U16: "H",
    I16: "h",
    U32: "I",
    I32: "i",
    F32: "f",
    BOOL: "B",
    U64: "Q",
    I64: "q",
    F64: "d",
}

# Tensor types that nextoken runs: name -> (ggml's number, elements per block, bytes per block).
TYPES = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q4_0": (2, 32, 18),
    "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34),
    "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "IQ2_XXS": (16, 256, 66),
    "IQ2_XS": (17, 256, 74),
    "IQ3_XXS": (18, 256, 98),
    "IQ1_S": (19, 256, 50),
    "IQ4_NL": (20, 32, 18),
    "IQ3_S": (21, 256, 110),
    "IQ2_S": (22, 256, 82),
    "IQ4_XS": (23, 256, 136),
    "IQ1_M": (29, 256, 56),
    "BF16": (30, 1, 2),
    "TQ1_0": (34, 256, 54),
    "TQ2_0": (35, 256, 66),
    "MXFP4": (39, 32, 17),
    "NVFP4": (40, 64, 36),
}

Tensor = tuple[Any, "str | int", Sequence[int]]  # bytes or array, type name or number, shape with ne[0] first


class Typed:
    """A metadata value with its GGUF type spelt out: `Typed(U8, 3)`, `Typed(ARRAY, [1.0], element=F64)`."""

    def __init__(self, kind: int, value: Any, element: int | None = None) -> None:
        self.kind, self.value, self.element = kind, value, element


def text(value: str | bytes, length: int | None = None) -> bytes:
    """A GGUF string; `length` overrides the length that is written in front of it."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def scalar(kind: int, value: Any) -> bytes:
    return text(value) if kind == STRING else struct.pack("<" + SCALARS[kind], value)


def array(element: int, values: Iterable[Any], count: int | None = None) -> bytes:
    """Element type, count and elements; `count` overrides the true one."""
    values = list(values)
    head = struct.pack("<IQ", element, len(values) if count is None else count)
    return head + b"".join(scalar(element, v) for v in values)


def kv(key: str | bytes, value: Any) -> bytes:
    """One metadata entry. Python values become bool, u32 (i64 where needed), f32, str or arrays of those."""
    if not isinstance(value, Typed):
        value = Typed(_type_of(value), value)
    if value.kind == ARRAY:
        values = list(value.value)
        element = _type_of(values[0]) if value.element is None else value.element
        return text(key) + struct.pack("<I", ARRAY) + array(element, values)
    return text(key) + struct.pack("<I", value.kind) + scalar(value.kind, value.value)


def raw_kv(key: str | bytes, kind: int, payload: bytes) -> bytes:
    """One metadata entry with any type number and any bytes."""
    return text(key) + struct.pack("<I", kind & 0xFFFFFFFF) + payload


def tensor_info(
    name: str | bytes, shape: Sequence[int], kind: str | int, offset: int, n_dims: int | None = None
) -> bytes:
    """One entry of the tensor table; `offset` counts from the start of the data section."""
    number = TYPES[kind][0] if isinstance(kind, str) else kind
    n_dims = len(shape) if n_dims is None else n_dims
    dims = b"".join(struct.pack("<Q", n & 0xFFFFFFFFFFFFFFFF) for n in shape)
    return text(name) + struct.pack("<I", n_dims) + dims + struct.pack("<IQ", number & 0xFFFFFFFF, offset)


def magic(n_tensors: int, n_kv: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors & 0xFFFFFFFFFFFFFFFF, n_kv & 0xFFFFFFFFFFFFFFFF)


def pad(data: bytes, alignment: int = 32) -> bytes:
    return data + b"\0" * (-len(data) % alignment)


def gguf_bytes(
    metadata: Mapping[str, Any] | Sequence[bytes] = (),
    tensors: Mapping[str, Tensor] = {},
    *,
    version: int = 3,
    alignment: int = 32,
    n_tensors: int | None = None,
    n_kv: int | None = None,
    infos: Sequence[bytes] | None = None,
    data: bytes | None = None,
) -> bytes:
    """The bytes of a GGUF file. Well-formed unless an override says otherwise.

    `metadata` is a mapping or a list of ready `kv` entries; `infos` and `data` replace the tensor table and
    the data section. An alignment other than 32 is not added to the metadata: put `general.alignment` there as well.
    """
    entries = [kv(k, v) for k, v in metadata.items()] if isinstance(metadata, Mapping) else list(metadata)
    table, body = [], b""
    for name, (values, kind, shape) in tensors.items():
        raw = values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
        table.append(tensor_info(name, shape, kind, len(body)))
        body = pad(body + raw, alignment)
    table = table if infos is None else list(infos)
    head = magic(
        len(table) if n_tensors is None else n_tensors, len(entries) if n_kv is None else n_kv, version
    )
    head += b"".join(entries) + b"".join(table)
    return pad(head, alignment) + (body if data is None else data)


def write_gguf(
    path: str | Path, metadata: Any = (), tensors: Mapping[str, Tensor] = {}, **options: Any
) -> Path:
    """Writes `gguf_bytes(metadata, tensors, **options)` to `path`."""
    Path(path).write_bytes(gguf_bytes(metadata, tensors, **options))
    return Path(path)


def _type_of(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        return BOOL
    if isinstance(value, (int, np.integer)):
        return U32 if 0 <= value < 2**32 else I64
    if isinstance(value, (float, np.floating)):
        return F32
    return STRING if isinstance(value, (str, bytes)) else ARRAY
