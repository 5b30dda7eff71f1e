"""Norm, rotation, gates, softmax and attention in float64 NumPy: the definitions the native kernels are tested against.

Tolerances count roundings: each is wrong by at most EPS relative to the number rounded.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nextoken import kernels

Array = npt.NDArray[Any]

EPS = 2.0**-24
TINY = 1e-37  # what is lost where float32 has no digits left


def assert_equal_on_all_isas(compute: Any) -> Array:
    """compute(isa) on every instruction set of this machine: the same bits, NaN where the others have NaN."""
    results = {isa: compute(isa) for isa in kernels.isas()}
    first = results["scalar"]
    for isa, other in results.items():
        differ = np.argwhere(
            (first.view(np.uint32) != other.view(np.uint32)) & ~(np.isnan(first) & np.isnan(other))
        )
        assert len(differ) == 0, f"scalar and {isa} first differ at {differ[0]} of {first.shape}"
    return first


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    x = x.astype(np.float64)
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * weight


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    x = x.astype(np.float64)
    d = x - x.mean(axis=-1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, axis=-1, keepdims=True) + np.float32(eps)) * weight + bias


def rope(x: Array, positions: Array, theta: float, n_rot: int, pairs: str) -> Array:
    angles = positions[:, None, None] * theta ** (-2.0 * np.arange(n_rot // 2) / n_rot)
    c, s = np.cos(angles), np.sin(angles)
    y = x.astype(np.float64)
    first, second = (
        (slice(0, n_rot, 2), slice(1, n_rot, 2))
        if pairs == "adjacent"
        else (slice(0, n_rot // 2), slice(n_rot // 2, n_rot))
    )
    a, b = y[..., first].copy(), y[..., second].copy()
    y[..., first], y[..., second] = a * c - b * s, a * s + b * c
    return y


def silu(a: Array) -> Array:
    a = a.astype(np.float64)
    return a * np.exp(-np.logaddexp(0.0, -a))


def gelu_tanh(a: Array) -> Array:
    a = a.astype(np.float64)
    z = 2 * np.sqrt(2 / np.pi) * (a + 0.044715 * a**3)
    return a * np.exp(-np.logaddexp(0.0, -z))  # (1 + tanh(z / 2)) / 2 = sigmoid(z), without its cancellation


def gelu(a: Array) -> Array:
    share = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in a.astype(np.float64).ravel()])
    return a * share.reshape(a.shape)


def relu(a: Array) -> Array:
    return np.maximum(a.astype(np.float64), 0.0)


def softmax(x: Array) -> Array:
    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(
    q: Array,
    k: Array,
    v: Array,
    window: int | None,
    scale: float,
    soft_cap: float | None,
    causal: bool = True,
    q_step: Array | None = None,
    v_step: Array | None = None,
    slopes: Array | None = None,
    sinks: Array | None = None,
) -> tuple[Array, Array]:
    """Result (T, H, d), and how far float32 arithmetic may be from it.

    With q_step (T, H) queries are rounded to multiples of it first. With v_step (n, G) the products of weights and
    v_step are, in segments of 256 keys, rounded to 32767ths of the largest, and multiplied with v / v_step.

    A score is wrong by (d + 2) EPS of the sum of magnitudes of its terms (three more with a cap, whose tanh has slope
    at most 1); softmax turns an error of scores into the same relative error of weights, twice for the quotient; the
    sums over n keys and their merging add n + 16 roundings of a sum of magnitudes, exp and the division 8.
    """
    q, k, v = q.astype(np.float64), k.astype(np.float64), v.astype(np.float64)
    n_q, n_heads, d = q.shape
    group, n_k = n_heads // k.shape[1], len(k)
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("qhd,khd->hqk", q, k) * scale
    error = EPS * (d + 2) * np.einsum("qhd,khd->hqk", np.abs(q), np.abs(k)) * scale
    if q_step is not None:
        error += 0.5 * q_step.T[:, :, None] * np.abs(k).sum(axis=2).T[:, None, :] * scale
    if soft_cap is not None:
        scores = soft_cap * np.tanh(scores / soft_cap)
        error += EPS * 8 * soft_cap
    place = np.arange(n_k - n_q, n_k)[:, None] if causal else np.full((n_q, 1), n_k - 1)
    key = np.arange(n_k)[None, :]
    if slopes is not None:
        distances = slopes[:, None, None].astype(np.float64) * (key - place)
        scores += distances
        error += EPS * (np.abs(scores) + np.abs(distances))
    hidden = (key > place) | (key <= place - (window or n_k + 1))
    scores[:, hidden] = -np.inf
    error[:, hidden] = 0
    if sinks is not None:  # one more key, whose value is zero
        extra = np.broadcast_to(sinks.astype(np.float64)[:, None, None], (n_heads, n_q, 1))
        weights = softmax(np.concatenate([scores, extra], axis=2))[:, :, :n_k]
    else:
        weights = softmax(scores)
    y = np.einsum("hqk,khd->qhd", weights, v)
    size = np.einsum("hqk,khd->qhd", weights, np.abs(v))
    relative = 2 * error.max(axis=-1).T[..., None] + EPS * 2 * (n_k + 24)
    # weights below exp(-87) are 0: no more than n_k * 2^-125 of the largest value
    bound = relative * size * 1.01 + TINY * (1 + np.abs(v).max() * n_k)
    if v_step is not None:
        step = np.maximum(np.repeat(v_step.astype(np.float64), group, axis=1).T[:, None, :], 1e-300)
        codes = np.where(hidden[None, :, :, None], 0, np.abs(v).transpose(1, 0, 2)[:, None] / step[..., None])
        for begin in range(0, n_k, 256):
            part = slice(begin, begin + 256)
            largest = (weights * step)[:, :, part].max(axis=2) * (1 + relative.max())
            bound += (
                0.5 * 1.01 * (largest[..., None] / 32767 * codes[:, :, part].sum(axis=2)).transpose(1, 0, 2)
            )
    return y, bound


def quantize(x: Array, most: float = 127.0) -> tuple[Array, Array]:
    """Whole numbers (..., d) up to `most` in magnitude and float32 scales (...): x is about scale * number."""
    amax = np.abs(x).max(axis=-1, keepdims=True)
    zero = amax < np.float32(2.0**-100)
    factor = np.where(zero, np.float32(0), np.float32(most) / np.where(zero, np.float32(1), amax))
    scale = np.where(zero, np.float32(0), amax / np.float32(most))
    return np.rint(x * factor), scale[..., 0]
