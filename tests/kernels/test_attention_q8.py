"""Attention over an int8 cache: against float64, and the same bits on every instruction set and in every tiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextoken import _native, kernels
from tests import reference_ops as reference
from tests.kernels.test_attention import make

native: Any = _native.kernels
Array = npt.NDArray[Any]


def expected_and_bound(
    q: Array, k: Array, v: Array, window: int | None, soft_cap: float | None
) -> tuple[Array, Array]:
    """Of the keys and values that the cache holds; queries and weights are rounded too."""
    k_codes, k_scale = reference.quantize(k)
    v_codes, v_scale = reference.quantize(v)
    q_step = np.abs(q).max(axis=2) / 16383 * (1 + 2.0**-8)  # its rounding, and those of the rounded number
    return reference.attention(
        q,
        k_codes * k_scale[..., None].astype(np.float64),
        v_codes * v_scale[..., None].astype(np.float64),
        window,
        1 / np.sqrt(q.shape[2]),
        soft_cap,
        q_step=q_step,
        v_step=v_scale,
    )


@given(
    d=st.sampled_from([1, 2, 5, 16, 17, 64, 80]),
    n_q=st.integers(1, 20),
    before=st.integers(0, 330),
    group=st.integers(1, 7),
    window=st.none() | st.integers(1, 300),
    soft_cap=st.none() | st.just(4.0),
    loud=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example(d=64, n_q=20, before=500, group=3, window=None, soft_cap=None, loud=False, seed=0)
@example(d=256, n_q=3, before=600, group=4, window=512, soft_cap=None, loud=True, seed=1)
@example(d=64, n_q=20, before=250, group=1, window=1, soft_cap=None, loud=False, seed=2)
@example(d=128, n_q=2, before=254, group=8, window=257, soft_cap=None, loud=True, seed=3)
def test_equals_float64_and_every_tiling_and_isa(
    d: int,
    n_q: int,
    before: int,
    group: int,
    window: int | None,
    soft_cap: float | None,
    loud: bool,
    seed: int,
) -> None:
    n_k = n_q + before
    q, k, v = make(seed, n_q, n_k, 1, group, d)
    if (
        loud
    ):  # some values a thousand times the others, as the first token of many models has them the other way
        v[::7] *= 1000
    y = reference.assert_equal_on_all_isas(
        lambda isa: kernels.attention(q, k, v, window=window, soft_cap=soft_cap, kv_dtype="q8", isa=isa)
    )
    expected, bound = expected_and_bound(q, k, v, window, soft_cap)
    assert np.all(np.abs(y - expected) <= bound)

    n_blocks = -(-n_k // 64)
    keys, values = kernels.kv_cache(n_blocks + 2, 1, d, "q8")
    keys[:], values[:] = -1, -1  # what nobody wrote must not matter: NaN where scales stand
    table = np.random.default_rng(seed).permutation(n_blocks + 2)[:n_blocks]
    kernels.kv_write(keys, values, k, v, table[np.arange(n_k) // 64] * 64 + np.arange(n_k) % 64)
    for isa in kernels.isas():
        if isa == "scalar" and n_q * n_k * d > 100_000:
            continue
        for token_step, by_segments in [(1, False), (3, False), (16, False), (1, True), (5, True)]:
            other = native.paged_attention(
                q,
                keys,
                values,
                table,
                n_k,
                True,
                window or 0,
                1 / np.sqrt(d),
                soft_cap or 0.0,
                isa,
                token_step,
                by_segments,
            )
            assert np.array_equal(y.view(np.uint32), other.view(np.uint32)), (isa, token_step, by_segments)


@pytest.mark.parametrize("isa", kernels.isas())
def test_the_largest_codes_do_not_overflow(isa: str) -> None:
    """1,024 products of 16383 and 127 in a score, 256 of 32767 and 127 in a value, of either sign."""
    for sign in (1, -1):
        q = np.full((1, 1, 1024), 1 / 32, np.float32)
        k = np.full((256, 1, 1024), sign / 32, np.float32)
        v = np.full((256, 1, 1024), sign * 3, np.float32)
        y = kernels.attention(q, k, v, kv_dtype="q8", scale=1.0, isa=isa)
        assert np.allclose(y, sign * 3, rtol=1e-5)
        k[7] *= -1  # a score of -1 among those of 1, or the reverse
        v[7] = 0
        y = kernels.attention(q, k, v, kv_dtype="q8", scale=1.0, isa=isa)
        p = np.exp(-sign) / (255 * np.exp(sign) + np.exp(-sign))
        assert np.allclose(y, sign * 3 * (1 - p), rtol=1e-4)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["q", "k", "v"])
def test_what_is_not_finite_shows_where_it_is_seen_and_nowhere_else(odd: float, what: str) -> None:
    q, k, v = make(8, 4, 400, 1, 2, 16)
    clean = kernels.attention(q, k, v, window=10, kv_dtype="q8")
    {"q": q, "k": k, "v": v}[what][-1, 0, 3] = odd
    dirty = reference.assert_equal_on_all_isas(
        lambda isa: kernels.attention(q, k, v, window=10, kv_dtype="q8", isa=isa)
    )
    assert np.array_equal(clean[:3].view(np.uint32), dirty[:3].view(np.uint32))
    assert np.isnan(dirty[3, 0]).all()
    assert np.isnan(dirty[3, 1]).all() == (what != "q")


def test_zeros_attend_evenly_to_zeros() -> None:
    q, k, v = make(9, 2, 70, 1, 1, 8)
    y = kernels.attention(0 * q, k, v, kv_dtype="q8")
    codes, scale = reference.quantize(v)
    assert np.allclose(y[1, 0], (codes * scale[..., None]).mean(axis=0)[0], atol=1e-3)
    assert not kernels.attention(q, k, 0 * v, kv_dtype="q8").any()
