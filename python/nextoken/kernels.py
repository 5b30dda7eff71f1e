"""The kernels of the forward pass, one by one, on NumPy arrays.

Each takes `isa="scalar"`, or any other of `isas()`, to force an instruction set; all give the same bits. `isas()` lists
what this machine runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.errors import NumericalError
from nextoken.kernel_arguments import (
    ByteArray,
    FloatArray,
    as_bytes,
    as_rows,
    block_of,
    finite,
    floats,
    indices,
    rows_of,
    whole,
)
from nextoken.kernel_attention import KV_BLOCK, attention, kv_cache, kv_write, paged_attention

__all__ = [
    "KV_BLOCK",
    "PackedMatrix",
    "activation",
    "attention",
    "dequantize",
    "isas",
    "kv_cache",
    "kv_write",
    "layer_norm",
    "matmul",
    "pack",
    "paged_attention",
    "quantize",
    "rms_norm",
    "rope",
    "softmax",
]

PackedMatrix = _native.kernels.PackedMatrix
"""Weights in the layout the kernels read: `.type`, `.shape` (N, K), `.nbytes`."""


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
    x = floats(x, "x", ndim=2)
    if not isinstance(weights, PackedMatrix):
        if weight_type is None:
            raise TypeError("weight_type: needed with weights that are raw bytes")
        weights = pack(weights, weight_type, (rows_of(weights, weight_type, x.shape[1]), x.shape[1]))
    elif weight_type is not None and weight_type != weights.type:
        raise ValueError(f"weight_type: {weight_type!r}, but weights is packed {weights.type}")
    result: FloatArray = _native.kernels.matmul(x, weights, isa)
    return result


def pack(weights: ByteArray | bytes, weight_type: str, shape: tuple[int, int]) -> PackedMatrix:
    """Packs N rows of K weights, as they stand in a GGUF file, into the layout the kernels read; shape is (N, K).

    Raises ValueError for an unknown type or sizes that do not fit, NumericalError for scales that are not finite.
    """
    if not isinstance(shape, Sequence) or len(shape) != 2:
        raise TypeError(f"shape: expected (N, K), got {shape!r}")
    n_rows, k = (whole(n, "shape") for n in shape)
    return _native.kernels.pack(as_bytes(weights, "weights"), weight_type, n_rows, k)


def quantize(array: FloatArray, weight_type: str) -> ByteArray:
    """The bytes, (n,) uint8, that hold a float32 array in a GGUF weight type, row after row.

    The last axis must be a multiple of the type's block. The 32-block types are rounded as ggml's reference does.

    Raises TypeError for a wrong dtype, ValueError for a size that does not fit or an unknown type, NumericalError for
    numbers that are not finite, which blocks have no codes for.
    """
    array = floats(array, "array")
    block = block_of(weight_type)[0]
    if array.ndim == 0 or array.shape[-1] % block != 0:
        raise ValueError(
            f"array: shape {array.shape} has no last axis of whole {weight_type} blocks of {block}"
        )
    if block > 1 and not np.isfinite(array).all():
        raise NumericalError(f"array holds NaN or infinity, which has no {weight_type} form")
    result: ByteArray = _native.kernels.quantize(array, weight_type)
    return result


def dequantize(data: ByteArray | bytes, weight_type: str, shape: tuple[int, ...] | int = -1) -> FloatArray:
    """The float32 array, of the given shape, that bytes of a GGUF weight type stand for.

    Raises ValueError for an unknown type or sizes that do not fit.
    """
    flat: FloatArray = _native.kernels.dequantize(as_bytes(data, "data"), weight_type)
    try:
        return flat.reshape(shape)
    except ValueError:
        raise ValueError(f"shape: {shape} does not fit the {flat.size} elements of data") from None


def rms_norm(
    x: FloatArray, weight: FloatArray | None = None, eps: float = 1e-6, *, isa: str | None = None
) -> FloatArray:
    """`x / sqrt(mean(x**2) + eps) * weight` over the last axis; without a weight, just normalised.

    x: (..., n) float32. weight: (n,) float32. Raises TypeError for a wrong dtype, ValueError for a wrong shape.
    """
    x = floats(x, "x")
    rows = as_rows(x, "x")
    eps = finite(eps, "eps", 0)
    result: FloatArray = _native.kernels.rms_norm(rows, _of_columns(weight, "weight", rows), eps, isa)
    return result.reshape(x.shape)


def layer_norm(
    x: FloatArray,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    eps: float = 1e-5,
    *,
    isa: str | None = None,
) -> FloatArray:
    """`(x - mean(x)) / sqrt(var(x) + eps) * weight + bias` over the last axis. arXiv:1607.06450

    x: (..., n) float32. weight, bias: (n,) float32, or None for ones and zeros.
    Raises TypeError for a wrong dtype, ValueError for a wrong shape.
    """
    x = floats(x, "x")
    rows = as_rows(x, "x")
    weight, bias = _of_columns(weight, "weight", rows), _of_columns(bias, "bias", rows)
    eps = finite(eps, "eps", 0)
    result: FloatArray = _native.kernels.layer_norm(rows, weight, bias, eps, isa)
    return result.reshape(x.shape)


def _of_columns(part: FloatArray | None, name: str, rows: FloatArray) -> FloatArray | None:
    """None, or one float32 a column."""
    if part is None:
        return None
    part = floats(part, name, ndim=1)
    if part.size != rows.shape[1]:
        raise ValueError(f"{name}: expected shape ({rows.shape[1]},), got {part.shape}")
    return part


def activation(x: FloatArray, name: str, *, isa: str | None = None) -> FloatArray:
    """An activation of feed-forwards, element by element, of a float32 array.

    "silu": x * sigmoid(x); "gelu": x times the normal distribution's share below x; "gelu_tanh": its approximation by
    tanh; "relu": max(x, 0); "relu_squared". Raises TypeError for a wrong dtype, ValueError for an unknown name.
    """
    result: FloatArray = _native.kernels.activation(name, floats(x, "x"), isa)
    return result


def rope(
    x: FloatArray,
    positions: npt.ArrayLike,
    *,
    theta: float = 10000.0,
    n_rot: int | None = None,
    pairs: str = "halves",
    isa: str | None = None,
) -> FloatArray:
    """Rotary position embedding of x (T, n_heads, head_dim) float32 for tokens at `positions` (T,).

    Pair i turns by position * theta**(-2i / n_rot); pairs="halves" are (i, i + n_rot / 2), "adjacent" (2i, 2i + 1).
    The first `n_rot` elements of a head turn, by default all. Angles are made in double precision.

    Raises TypeError for a wrong dtype, ValueError for a wrong shape, an odd n_rot or unknown pairs.
    """
    x = floats(x, "x", ndim=3)
    places = indices(positions, "positions")
    if places.shape != (x.shape[0],):
        raise ValueError(f"positions: expected shape ({x.shape[0]},), got {places.shape}")
    if places.size and not 0 <= places.min() <= places.max() < 2**31:
        raise ValueError("positions: expected numbers from 0 to 2**31 - 1")
    if pairs not in ("halves", "adjacent"):
        raise ValueError(f"pairs: {pairs!r} is none of halves, adjacent")
    if not (theta := finite(theta, "theta")) > 0:
        raise ValueError(f"theta: expected a positive number, got {theta}")
    n_rot = x.shape[2] if n_rot is None else whole(n_rot, "n_rot")
    if n_rot % 2 or not 0 <= n_rot <= x.shape[2]:
        raise ValueError(f"n_rot: expected an even number up to head_dim {x.shape[2]}, got {n_rot}")
    result: FloatArray = _native.kernels.rope(x, places, theta, n_rot, pairs == "adjacent", isa)
    return result


def softmax(x: FloatArray, *, isa: str | None = None) -> FloatArray:
    """`exp(x) / sum(exp(x))` over the last axis of x (..., n) float32.

    A row with NaN or +infinity, or with nothing but -infinity, becomes NaN.
    """
    x = floats(x, "x")
    result: FloatArray = _native.kernels.softmax(as_rows(x, "x"), isa)
    return result.reshape(x.shape)
