"""The cache and attention to it, of `nextoken.kernels`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.kernel_arguments import FloatArray, finite, floats, indices, whole

CacheArray = npt.NDArray[np.float16] | npt.NDArray[np.float32] | npt.NDArray[np.int8]

KV_BLOCK: int = _native.kernels.KV_BLOCK
"""Tokens in a block of the cache."""


def kv_cache(
    n_blocks: int, n_kv_heads: int, head_dim: int, kv_dtype: str = "f16"
) -> tuple[CacheArray, CacheArray]:
    """Zeroed arrays in the layout of the cache, `KV_BLOCK` = 64 tokens a block; kv_dtype is "f16", "f32" or "q8".

    Keys (n_blocks, n_kv_heads, 4, head_dim, 16): a register holds one dimension of sixteen keys.
    Values (n_blocks, n_kv_heads, 64, head_dim rounded up to 16): a register holds sixteen dimensions of one value.
    The token in slot s has its key at k[s // 64, :, s % 64 // 16, :, s % 16], its value at v[s // 64, :, s % 64].

    "q8" holds int8 codes and a float32 scale for each key and each value of a head: x = scale * code, scale = max |x| /
    127. Both arrays are int8 (n_blocks, n_kv_heads, bytes). The bytes of a head in a block are codes, of keys
    (4, ceil(head_dim / 2), 16 keys, 2), of values (32, head_dim rounded up to 16, 2 values), then 64 scales.
    """
    if kv_dtype not in ("f16", "f32", "q8"):
        raise ValueError(f"kv_dtype: {kv_dtype!r} is none of f16, f32, q8")
    n_blocks, n_kv_heads = whole(n_blocks, "n_blocks", 1), whole(n_kv_heads, "n_kv_heads", 1)
    head_dim = whole(head_dim, "head_dim", 1)
    if kv_dtype == "q8":
        widths = (head_dim + head_dim % 2, -(-head_dim // 16) * 16)
        k_bytes, v_bytes = (KV_BLOCK * (width + 4) for width in widths)
        return np.zeros((n_blocks, n_kv_heads, k_bytes), np.int8), np.zeros(
            (n_blocks, n_kv_heads, v_bytes), np.int8
        )
    dtype = np.float16 if kv_dtype == "f16" else np.float32
    keys = np.zeros((n_blocks, n_kv_heads, KV_BLOCK // 16, head_dim, 16), dtype)
    values = np.zeros((n_blocks, n_kv_heads, KV_BLOCK, -(-head_dim // 16) * 16), dtype)
    return keys, values


def kv_write(
    k_cache: CacheArray,
    v_cache: CacheArray,
    k: FloatArray,
    v: FloatArray,
    slots: npt.ArrayLike,
    *,
    isa: str | None = None,
) -> None:
    """Writes keys and values (T, n_kv_heads, head_dim) float32 of T tokens into slots (T,) of a `kv_cache()`,
    rounded to its dtype, ties to even.

    Raises TypeError for a wrong dtype, ValueError for a wrong shape, IndexError for a slot outside the cache.
    """
    k, v = floats(k, "k", ndim=3), floats(v, "v", ndim=3)
    _native.kernels.kv_write(k_cache, v_cache, k, v, indices(slots, "slots"), isa)


def paged_attention(
    q: FloatArray,
    k_cache: CacheArray,
    v_cache: CacheArray,
    block_table: npt.ArrayLike,
    n_keys: int,
    *,
    causal: bool = True,
    window: int | None = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    slopes: FloatArray | None = None,
    sinks: FloatArray | None = None,
    isa: str | None = None,
) -> FloatArray:
    """Attention of queries (T, n_heads, head_dim) float32 to the `n_keys` tokens of a sequence in a `kv_cache()`.

    Token i of the sequence stands in block block_table[i // 64]. The queries are its last T tokens, each sees itself
    and the keys before it, with a `window` the last `window` of them; causal=False lets all see all keys. `scale` is
    1/sqrt(head_dim) unless given; `soft_cap` makes scores soft_cap * tanh(score / soft_cap). With `slopes`
    (n_heads,), slope * (key's position - query's) is added to them: ALiBi, arXiv:2108.12409. With `sinks` (n_heads,),
    exp(sink) is added to each head's sum of exp(score): attention of gpt-oss, arXiv:2508.10925. n_heads is a multiple
    of the cache's n_kv_heads. Returns (T, n_heads, head_dim) float32. It works on the calling thread.

    Raises TypeError for a wrong dtype, ValueError for a wrong shape, IndexError for a block outside the cache.
    """
    q = floats(q, "q", ndim=3)
    n_keys = whole(n_keys, "n_keys", 1)
    if window is not None and ((window := whole(window, "window", 1)) and not causal):
        raise ValueError("window: expected causal=True with it")
    if soft_cap is not None and not (soft_cap := finite(soft_cap, "soft_cap")) > 0:
        raise ValueError(f"soft_cap: expected a positive number, got {soft_cap}")
    scale = 1.0 / math.sqrt(max(q.shape[2], 1)) if scale is None else finite(scale, "scale")
    table = indices(block_table, "block_table")
    slopes = None if slopes is None else floats(slopes, "slopes", ndim=1)
    sinks = None if sinks is None else floats(sinks, "sinks", ndim=1)
    result: FloatArray = _native.kernels.paged_attention(
        q,
        k_cache,
        v_cache,
        table,
        n_keys,
        causal,
        window or 0,
        scale,
        soft_cap or 0.0,
        isa,
        slopes=slopes,
        sinks=sinks,
    )
    return result


def attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    causal: bool = True,
    window: int | None = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    slopes: FloatArray | None = None,
    sinks: FloatArray | None = None,
    kv_dtype: str = "f16",
    isa: str | None = None,
) -> FloatArray:
    """Attention of q (T, n_heads, head_dim) to k, v (T_kv, n_kv_heads, head_dim), all float32; see `paged_attention`.

    Keys and values are rounded to `kv_dtype` ("f16", "f32" or "q8") first, as in the cache of a model.
    """
    q, k, v = floats(q, "q", ndim=3), floats(k, "k", ndim=3), floats(v, "v", ndim=3)
    if k.shape != v.shape:
        raise ValueError(f"v: expected the shape of k, {k.shape}, got {v.shape}")
    if 0 in k.shape or k.shape[2] != q.shape[2] or q.shape[1] % k.shape[1]:
        raise ValueError(f"k: shape {k.shape} does not fit queries of shape {q.shape}")
    if causal and len(q) > len(k):
        raise ValueError(f"q: {len(q)} tokens, but only {len(k)} keys")
    n_blocks = -(-len(k) // KV_BLOCK)
    k_cache, v_cache = kv_cache(n_blocks, k.shape[1], k.shape[2], kv_dtype)
    kv_write(k_cache, v_cache, k, v, np.arange(len(k)), isa=isa)
    table = np.arange(n_blocks)
    return paged_attention(
        q,
        k_cache,
        v_cache,
        table,
        len(k),
        causal=causal,
        window=window,
        scale=scale,
        soft_cap=soft_cap,
        slopes=slopes,
        sinks=sinks,
        isa=isa,
    )
