"""Attention against float64; the same bits whatever the instruction set, the tile, the split and the blocks' places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextoken import _native, kernels
from tests import reference_ops as reference

native: Any = _native.kernels
Array = npt.NDArray[Any]


def make(seed: int, n_q: int, n_k: int, n_kv_heads: int, group: int, d: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((n_q, n_kv_heads * group, d), np.float32)
    k, v = rng.standard_normal((2, n_k, n_kv_heads, d), np.float32)
    return q, k, v


@given(
    d=st.sampled_from([1, 5, 16, 17, 64, 80]),
    n_q=st.integers(1, 20),
    before=st.integers(0, 330),
    group=st.integers(1, 7),
    window=st.none() | st.integers(1, 300),
    soft_cap=st.none() | st.just(4.0),
    kv_dtype=st.sampled_from(["f16", "f32"]),
    seed=st.integers(0, 2**32 - 1),
)
@example(d=64, n_q=20, before=500, group=3, window=None, soft_cap=None, kv_dtype="f16", seed=0)
@example(d=256, n_q=3, before=600, group=4, window=512, soft_cap=None, kv_dtype="f16", seed=1)
@example(d=64, n_q=20, before=250, group=1, window=1, soft_cap=None, kv_dtype="f16", seed=2)
@example(d=128, n_q=2, before=254, group=8, window=257, soft_cap=None, kv_dtype="f32", seed=3)
def test_equals_float64_and_every_tiling_and_isa(
    d: int,
    n_q: int,
    before: int,
    group: int,
    window: int | None,
    soft_cap: float | None,
    kv_dtype: str,
    seed: int,
) -> None:
    n_k = n_q + before
    q, k, v = make(seed, n_q, n_k, 1, group, d)
    scale = 1 / np.sqrt(d)
    y = reference.assert_equal_on_all_isas(
        lambda isa: kernels.attention(q, k, v, window=window, soft_cap=soft_cap, kv_dtype=kv_dtype, isa=isa)
    )
    dtype = np.float16 if kv_dtype == "f16" else np.float32
    expected, bound = reference.attention(q, k.astype(dtype), v.astype(dtype), window, scale, soft_cap)
    assert np.all(np.abs(y - expected) <= bound)

    # The blocks of the cache in another order, among others; tiles of other sizes; segments merged by themselves.
    n_blocks = -(-n_k // 64)
    keys, values = kernels.kv_cache(n_blocks + 2, 1, d, kv_dtype)
    keys[:], values[:] = np.nan, np.nan  # what nobody wrote must not matter
    table = np.random.default_rng(seed).permutation(n_blocks + 2)[:n_blocks]
    kernels.kv_write(keys, values, k, v, table[np.arange(n_k) // 64] * 64 + np.arange(n_k) % 64)
    for isa in kernels.isas():
        if isa == "scalar" and n_q * n_k * d > 100_000:
            continue  # its software fma takes minutes; the ISAs were compared above
        for token_step, by_segments in [(1, False), (3, False), (16, False), (1, True), (5, True)]:
            other = native.paged_attention(
                q,
                keys,
                values,
                table,
                n_k,
                True,
                window or 0,
                scale,
                soft_cap or 0.0,
                isa,
                token_step,
                by_segments,
            )
            assert np.array_equal(y.view(np.uint32), other.view(np.uint32)), (isa, token_step, by_segments)


@pytest.mark.parametrize("isa", kernels.isas())
def test_rows_and_heads_do_not_see_each_other(isa: str) -> None:
    q, k, v = make(7, 9, 300, 2, 3, 32)
    whole = kernels.attention(q, k, v, isa=isa)
    for t in (0, 4, 8):
        n = 300 - 9 + t + 1
        alone = kernels.attention(q[t : t + 1], k[:n], v[:n], isa=isa)
        assert np.array_equal(whole[t : t + 1].view(np.uint32), alone.view(np.uint32))
    one_head = kernels.attention(q[:, 3:4], k[:, 1:], v[:, 1:], isa=isa)
    assert np.array_equal(whole[:, 3:4].view(np.uint32), one_head.view(np.uint32))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_odd_values_of_unseen_keys_do_not_matter(odd: float) -> None:
    """Neither after a query nor before its window: skipped, not multiplied by zero."""
    q, k, v = make(8, 4, 400, 1, 2, 16)
    k[380], v[380] = odd, odd
    clean = kernels.attention(q[:1], k[:397], v[:397], window=10)
    dirty = kernels.attention(q, k, v, window=10)
    assert np.array_equal(clean.view(np.uint32), dirty[:1].view(np.uint32))
    assert np.isfinite(dirty).all()
    k[399], v[399] = odd, odd
    poisoned = kernels.attention(q, k, v, window=10)
    assert np.array_equal(poisoned[:3].view(np.uint32), dirty[:3].view(np.uint32))
    assert not np.isfinite(poisoned[3]).any()


def test_a_large_score_takes_all_the_weight_without_overflow() -> None:
    q, k, v = make(9, 1, 600, 1, 1, 16)
    q[:] = 1000.0
    k[:] = -1.0
    k[77] = 1.0
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.attention(q, k, v, kv_dtype="f32", isa=isa))
    assert np.array_equal(y[0, 0], v[77, 0])


def test_without_causality_every_query_sees_every_key() -> None:
    q, k, v = make(10, 6, 100, 2, 2, 24)
    y = kernels.attention(q, k, v, causal=False, kv_dtype="f32")
    expected, bound = reference.attention(q, k, v, None, 24**-0.5, None, causal=False)
    assert np.all(np.abs(y - expected) <= bound)
    more_queries_than_keys = kernels.attention(q, k[:3], v[:3], causal=False)
    assert more_queries_than_keys.shape == q.shape


def test_wrong_arguments_are_named() -> None:
    q, k, v = make(11, 2, 3, 2, 1, 8)
    with pytest.raises(ValueError, match="v: expected the shape of k"):
        kernels.attention(q, k, v[:2])
    with pytest.raises(ValueError, match="k: shape"):
        kernels.attention(q, k[:, :, :4], v[:, :, :4])
    with pytest.raises(ValueError, match="q: 4 tokens, but only 3 keys"):
        kernels.attention(np.repeat(q, 2, axis=0), k, v)
    with pytest.raises(ValueError, match="window"):
        kernels.attention(q, k, v, window=0)
    with pytest.raises(ValueError, match="soft_cap"):
        kernels.attention(q, k, v, soft_cap=-1.0)
    keys, values = kernels.kv_cache(2, 2, 8)
    with pytest.raises(IndexError, match="block_table"):
        kernels.paged_attention(q, keys, values, [2], 3)
    with pytest.raises(ValueError, match="n_keys: block_table is too short"):
        kernels.paged_attention(q, keys, values, [0], 65)


@pytest.mark.parametrize("kv_dtype", ["f32", "f16"])
@pytest.mark.parametrize(("n_q", "before"), [(1, 700), (20, 250), (300, 0)])
def test_slopes_add_distances_the_same_in_every_tiling_and_isa(n_q: int, before: int, kv_dtype: str) -> None:
    n_k, group, d = n_q + before, 3, 40
    q, k, v = make(n_q, n_q, n_k, 1, group, d)
    slopes = np.array([0.5, 0.03, 0.0], np.float32)
    y = reference.assert_equal_on_all_isas(
        lambda isa: kernels.attention(q, k, v, slopes=slopes, kv_dtype=kv_dtype, isa=isa)
    )
    dtype = np.float16 if kv_dtype == "f16" else np.float32
    rounded = k.astype(dtype), v.astype(dtype)
    expected, bound = reference.attention(q, *rounded, None, 1 / np.sqrt(d), None, slopes=slopes)
    assert np.all(np.abs(y - expected) <= bound)
    for t in (0, n_q // 2, n_q - 1):  # alone, as in decoding
        until = before + t + 1
        alone = kernels.attention(q[t : t + 1], k[:until], v[:until], slopes=slopes, kv_dtype=kv_dtype)
        assert np.array_equal(alone[0], y[t])


def test_slopes_of_another_number_of_heads_are_refused() -> None:
    q, k, v = make(0, 2, 2, 1, 2, 16)
    with pytest.raises(ValueError, match="slopes"):
        kernels.attention(q, k, v, slopes=np.ones(3, np.float32))


@pytest.mark.parametrize("kv_dtype", ["f32", "f16", "q8"])
@pytest.mark.parametrize(("n_q", "before", "window"), [(1, 700, None), (20, 250, 30), (300, 0, None)])
def test_sinks_take_a_share_the_same_in_every_tiling_and_isa(
    n_q: int, before: int, window: int | None, kv_dtype: str
) -> None:
    n_k, group, d = n_q + before, 4, 40
    q, k, v = make(n_q, n_q, n_k, 1, group, d)
    sinks = np.array([0.5, 9.0, -100.0, 300.0], np.float32)
    options = {"sinks": sinks, "window": window, "kv_dtype": kv_dtype}
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.attention(q, k, v, isa=isa, **options))
    if kv_dtype != "q8":
        dtype = np.float16 if kv_dtype == "f16" else np.float32
        rounded = k.astype(dtype), v.astype(dtype)
        expected, bound = reference.attention(q, *rounded, window, 1 / np.sqrt(d), None, sinks=sinks)
        assert np.all(np.abs(y - expected) <= bound)
    assert not y[:, 3].any()  # a share of 1
    assert y[:, 2].tobytes() == kernels.attention(q, k, v, window=window, kv_dtype=kv_dtype)[:, 2].tobytes()
    for t in (0, n_q // 2, n_q - 1):  # alone, as in decoding
        until = before + t + 1
        alone = kernels.attention(q[t : t + 1], k[:until], v[:until], **options)
        assert np.array_equal(alone[0], y[t])


def test_sinks_give_the_same_bits_by_segments() -> None:
    from nextoken import _native

    q, k, v = make(3, 2, 600, 2, 3, 24)
    keys, values = kernels.kv_cache(10, 2, 24, "f32")
    kernels.kv_write(keys, values, k, v, np.arange(600))
    sinks = np.linspace(-2, 8, 6).astype(np.float32)
    results = [
        _native.kernels.paged_attention(
            q, keys, values, np.arange(10), 600, True, 0, 0.2, 0.0, None, by_segments=by_segments, sinks=sinks
        )
        for by_segments in (False, True)
    ]
    assert results[0].tobytes() == results[1].tobytes()
