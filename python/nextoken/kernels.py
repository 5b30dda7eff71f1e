"""The kernels of the forward pass, one by one, on NumPy arrays.

Each takes `isa="scalar" | "avx2" | "avx512"` to force an instruction set; all give the same bits. `isas()` lists what
this machine runs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nextoken import _native

__all__ = ["PackedMatrix", "dequantize", "isas", "matmul", "pack", "quantize"]

PackedMatrix = _native.kernels.PackedMatrix
"""Weights in the layout the kernels read: `.type`, `.shape` (N, K), `.nbytes`."""

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


def isas() -> list[str]:
    """The instruction sets this machine runs, the best first."""
    names: list[str] = _native.kernels.isas()
    return names


def matmul(
    x: FloatArray,
    weights: PackedMatrix | ByteArray | bytes,
    *,
    weight_type: str | None = None,
    isa: str | None = None,
) -> FloatArray:
    """`x @ weights.T` in the arithmetic of the weights' type.

    x: (T, K) float32. weights: a `PackedMatrix`, or N rows as they stand in a GGUF file with their `weight_type`
    ("q4_0", "f16", ...). Returns (T, N) float32. Quantised types multiply with x rounded to int8 in blocks of 32
    (of 256 for the K types), bf16 with x rounded to bf16. It works on the calling thread.

    Raises TypeError for a wrong dtype, ValueError for a wrong shape or an unknown type, NumericalError if x or a
    scale of the weights is not finite.

    >>> w = np.eye(32, dtype=np.float32)
    >>> matmul(np.ones((1, 32), np.float32), quantize(w, "q8_0"), weight_type="q8_0").shape
    (1, 32)
    """
    x = _floats(x, "x", ndim=2)
    if not isinstance(weights, PackedMatrix):
        if weight_type is None:
            raise TypeError("weight_type: needed with weights that are raw bytes")
        weights = pack(weights, weight_type, (_rows_of(weights, weight_type, x.shape[1]), x.shape[1]))
    elif weight_type is not None and weight_type != weights.type:
        raise ValueError(f"weight_type: {weight_type!r}, but weights is packed {weights.type}")
    result: FloatArray = _native.kernels.matmul(x, weights, isa)
    return result


def pack(weights: ByteArray | bytes, weight_type: str, shape: tuple[int, int]) -> PackedMatrix:
    """Packs N rows of K weights, as they stand in a GGUF file, into the layout the kernels read; shape is (N, K).

    Raises ValueError for an unknown type or sizes that do not fit, NumericalError for scales that are not finite.
    """
    n_rows, k = shape
    return _native.kernels.pack(_bytes(weights, "weights"), weight_type, n_rows, k)


def quantize(array: FloatArray, weight_type: str) -> ByteArray:
    """The bytes, (n,) uint8, that hold a float32 array in a GGUF weight type, row after row.

    The last axis must be a multiple of the type's block. The 32-block types are rounded as ggml's reference does.

    Raises TypeError for a wrong dtype, ValueError for a size that does not fit or an unknown type.
    """
    array = _floats(array, "array")
    block = _block(weight_type)[0]
    if array.ndim == 0 or array.shape[-1] % block != 0:
        raise ValueError(
            f"array: shape {array.shape} has no last axis of whole {weight_type} blocks of {block}"
        )
    result: ByteArray = _native.kernels.quantize(array, weight_type)
    return result


def dequantize(data: ByteArray | bytes, weight_type: str, shape: tuple[int, ...] | int = -1) -> FloatArray:
    """The float32 array, of the given shape, that bytes of a GGUF weight type stand for.

    Raises ValueError for an unknown type or sizes that do not fit.
    """
    flat: FloatArray = _native.kernels.dequantize(_bytes(data, "data"), weight_type)
    try:
        return flat.reshape(shape)
    except ValueError:
        raise ValueError(f"shape: {shape} does not fit the {flat.size} elements of data") from None


def _block(weight_type: str) -> tuple[int, int]:
    """(elements, bytes) of a block."""
    types: dict[str, tuple[int, int]] = _native.kernels.weight_types()
    if weight_type not in types:
        raise ValueError(f"weight_type: {weight_type!r} is none of {', '.join(types)}")
    return types[weight_type]


def _rows_of(weights: ByteArray | bytes, weight_type: str, k: int) -> int:
    elements, size = _block(weight_type)
    row_bytes = k // elements * size
    n_bytes = len(weights) if isinstance(weights, bytes) else weights.nbytes
    if k % elements != 0 or row_bytes == 0 or n_bytes % row_bytes != 0:
        raise ValueError(f"weights: {n_bytes} bytes are no whole rows of {k} {weight_type} elements")
    return n_bytes // row_bytes


def _floats(array: FloatArray, name: str, ndim: int | None = None) -> FloatArray:
    """A contiguous float32 array, never converted from another dtype."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        found = array.dtype if isinstance(array, np.ndarray) else array.__class__.__name__
        raise TypeError(f"{name}: expected a float32 array, got {found}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, got shape {array.shape}")
    return np.ascontiguousarray(array)


def _bytes(data: ByteArray | bytes, name: str) -> ByteArray:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return np.frombuffer(data, np.uint8)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
        found = data.dtype if isinstance(data, np.ndarray) else data.__class__.__name__
        raise TypeError(f"{name}: expected bytes or a uint8 array, got {found}")
    return np.ascontiguousarray(data).reshape(-1)
