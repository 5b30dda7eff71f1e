"""Arrays as callers of `nextoken.kernels` hand them over: checked, and in the layout the kernels read."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.inputs import shown

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


def block_of(weight_type: str) -> tuple[int, int]:
    """(elements, bytes) of a block."""
    types: dict[str, tuple[int, int]] = _native.kernels.weight_types()
    if weight_type not in types:
        raise ValueError(f"weight_type: {weight_type!r} is none of {', '.join(types)}")
    return types[weight_type]


def rows_of(weights: ByteArray | bytes, weight_type: str, k: int) -> int:
    elements, size = block_of(weight_type)
    row_bytes = k // elements * size
    n_bytes = as_bytes(weights, "weights").nbytes
    if k % elements != 0 or row_bytes == 0 or n_bytes % row_bytes != 0:
        raise ValueError(f"weights: {n_bytes} bytes are no whole rows of {k} {weight_type} elements")
    return n_bytes // row_bytes


def floats(array: FloatArray, name: str, ndim: int | None = None) -> FloatArray:
    """A contiguous, aligned float32 array, never converted from another dtype."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        found = array.dtype if isinstance(array, np.ndarray) else array.__class__.__name__
        raise TypeError(f"{name}: expected a float32 array, got {found}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, got shape {array.shape}")
    return np.require(array, requirements=["C", "A"])


def whole(value: object, name: str, least: int = 0) -> int:
    """`value` as an int of at least `least`, and less than 2^63."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    number = int(value.__index__())
    if not least <= number < 2**63:
        raise ValueError(f"{name}: expected {least} or more, got {shown(number)}")
    return number


def finite(value: object, name: str, least: float = -math.inf) -> float:
    """`value` as a float, a finite one of at least `least`."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    number = float(value)
    if not (math.isfinite(number) and number >= least):
        limits = "a finite number" if least == -math.inf else f"a finite number, {least:g} or more"
        raise ValueError(f"{name}: expected {limits}, got {number}")
    return number


def as_rows(x: FloatArray, name: str) -> FloatArray:
    if x.ndim == 0:
        raise ValueError(f"{name}: expected at least one axis")
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def indices(values: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one axis, got shape {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return np.ascontiguousarray(array, np.int64)


def as_bytes(data: ByteArray | bytes, name: str) -> ByteArray:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return np.frombuffer(data, np.uint8)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
        found = data.dtype if isinstance(data, np.ndarray) else data.__class__.__name__
        raise TypeError(f"{name}: expected bytes or a uint8 array, got {found}")
    return np.ascontiguousarray(data).reshape(-1)
