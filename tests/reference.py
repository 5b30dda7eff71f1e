"""Kernels in plain NumPy, slow and in double precision: the definitions that the native ones are tested against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nextoken import _native

Array = npt.NDArray[Any]

EPS = 2.0**-24  # one float32 rounding, relative


def assert_same_bits(a: Array, b: Array) -> None:
    """Equal as float32 bit patterns; says where they first differ."""
    assert a.dtype == b.dtype == np.float32
    assert a.shape == b.shape
    differ = np.argwhere(a.view(np.uint32) != b.view(np.uint32))
    assert len(differ) == 0, (
        f"{len(differ)} differ, first at {differ[0]}: {a[tuple(differ[0])]} {b[tuple(differ[0])]}"
    )


# --- activations ---


def quantize_activations(x: Array, block: int) -> tuple[Array, Array]:
    """int8 codes (T, K) and float32 scales (T, K / block), exactly as the kernels round them."""
    blocks = x.astype(np.float32).reshape(x.shape[0], -1, block)
    amax = np.abs(blocks).max(axis=-1)
    zero = amax < np.float32(2.0**-100)
    safe = np.where(zero, np.float32(1), amax)
    factor = np.where(zero, np.float32(0), np.float32(127) / safe)
    codes = np.rint(blocks * factor[..., None]).astype(np.int8)
    scales = np.where(zero, np.float32(0), amax / np.float32(127))
    return codes.reshape(x.shape), scales.astype(np.float32)


def round_bf16(x: Array) -> Array:
    """To the nearest bf16, ties to even, as float32."""
    u = x.astype(np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def rounded_activations(x: Array, weight_type: str) -> Array:
    """What a type's matmul really multiplies with, float64 (T, K)."""
    if weight_type in ("f32", "f16"):
        return x.astype(np.float64)
    if weight_type == "bf16":
        return round_bf16(x).astype(np.float64)
    block = 256 if _native.kernels.weight_types()[weight_type][0] == 256 else 32
    codes, scales = quantize_activations(x, block)
    return codes * np.repeat(scales.astype(np.float64), block, axis=1)


def matmul(x: Array, weights: Array, weight_type: str) -> tuple[Array, Array]:
    """x (T, K) times dequantised weights (N, K) in float64, and how far float32 arithmetic may be from it.

    Each output takes at most K + 64 roundings (one a term; scale products and sums of blocks), each of them wrong by
    at most EPS of a partial sum, which the sum of magnitudes bounds. The dequantised weights of types with a minimum
    carry two roundings more, of scale * code and of minimum, which may be larger than their difference.
    """
    a, w = rounded_activations(x, weight_type), weights.astype(np.float64)
    block = min(256, w.shape[1])
    range_of_block = (
        np.abs(w).reshape(len(w), -1, block).max(axis=-1) if w.shape[1] % block == 0 else np.abs(w)
    )
    bound = np.repeat(range_of_block, w.shape[1] // range_of_block.shape[1], axis=1) * 4
    return a @ w.T, EPS * (w.shape[1] + 64) * (np.abs(a) @ np.maximum(np.abs(w), bound).T) + 1e-37


# --- the 32-block contract, operation by operation ---


def _fma(a: Array, b: Array, c: Array) -> Array:
    """float32 fma. The product is exact in extended precision; the sum there is rounded finely enough that rounding
    again is right but for one case in many thousands of millions."""
    wide = np.longdouble
    return (a.astype(wide) * b.astype(wide) + c.astype(wide)).astype(np.float32)


def matmul_q32_contract(x: Array, scale: Array, minimum: Array | None, codes: Array) -> Array:
    """out (T, N) float32 of codes (N, K) with zero point removed, scale and minimum (N, K / 32) float32:
    blocks ascending, an exact integer sum, one or two fused multiply-adds."""
    a, s = quantize_activations(x, 32)
    out = np.zeros((len(x), len(codes)), np.float32)
    for b in range(codes.shape[1] // 32):
        part = slice(b * 32, b * 32 + 32)
        exact = a[:, part].astype(np.int64) @ codes[:, part].astype(np.int64).T
        out = _fma(np.outer(s[:, b], scale[:, b]), exact.astype(np.float32), out)
        if minimum is not None:
            scaled_sum = s[:, b] * a[:, part].sum(axis=1, dtype=np.int64).astype(np.float32)
            out = _fma(scaled_sum[:, None], minimum[None, :, b], out)
    return out


# --- quantisers of the 32-block formats ---


def quantize(w: Array, weight_type: str) -> Array:
    """Bytes (uint8) of w (..., K) float32 as ggml's reference quantisers write them."""
    blocks = np.ascontiguousarray(w, np.float32).reshape(-1, 32)
    one, bits = np.float32(1), int(weight_type[1])
    with np.errstate(divide="ignore"):
        if weight_type == "q8_0":
            d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
            v = blocks * np.where(d == 0, np.float32(0), one / d)
            q = (np.sign(v) * (np.floor(np.abs(v)) + (np.abs(v) - np.floor(np.abs(v)) >= 0.5))).astype(
                np.int8
            )
            return np.concatenate([d.astype("<f2").view(np.uint8), q.view(np.uint8)], axis=1).ravel()
        if weight_type.endswith("_0"):
            largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
            d = largest / np.float32(-(2 ** (bits - 1)))
            v = blocks * np.where(d == 0, np.float32(0), one / d) + np.float32(2 ** (bits - 1) + 0.5)
            head = [d.astype("<f2").view(np.uint8)]
        else:
            low = blocks.min(axis=1, keepdims=True)
            d = (blocks.max(axis=1, keepdims=True) - low) / np.float32(2**bits - 1)
            v = (blocks - low) * np.where(d == 0, np.float32(0), one / d) + np.float32(0.5)
            head = [d.astype("<f2").view(np.uint8), low.astype("<f2").view(np.uint8)]
    q = np.clip(np.trunc(v), 0, 2**bits - 1).astype(np.uint8)
    nibbles = (q[:, :16] & 15) | ((q[:, 16:] & 15) << 4)
    fifth = [np.packbits(q >> 4, axis=1, bitorder="little")] if bits == 5 else []
    return np.concatenate([*head, *fifth, nibbles], axis=1).ravel()
