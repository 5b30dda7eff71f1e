"""Attention on a card gives the bits of the CPU's, whatever stands between a query and its keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nextoken import kernels
from tests.cuda.conftest import Card
from tests.kernels.test_attention import make
from tests.reference import assert_same_bits

KV_NUMBERS = {"f32": 0, "f16": 1, "q8": 2}


@pytest.mark.parametrize("kv_dtype", sorted(KV_NUMBERS))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    d=st.sampled_from([2, 6, 16, 18, 64, 80]),
    n_q=st.integers(1, 20),
    before=st.integers(0, 330),
    kv_heads=st.integers(1, 2),
    group=st.integers(1, 11),
    window=st.none() | st.integers(1, 300),
    soft_cap=st.none() | st.just(4.0),
    slopes=st.booleans(),
    sinks=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example(64, 20, 500, 1, 3, None, None, False, True, 0)
@example(256, 3, 600, 1, 4, 512, None, False, False, 1)
@example(64, 20, 250, 2, 1, 1, None, True, False, 2)
def test_attention_gives_the_bits_of_the_cpu(
    card: Card,
    kv_dtype: str,
    d: int,
    n_q: int,
    before: int,
    kv_heads: int,
    group: int,
    window: int | None,
    soft_cap: float | None,
    slopes: bool,
    sinks: bool,
    seed: int,
) -> None:
    q, k, v = make(seed, n_q, n_q + before, kv_heads, group, d)
    rng = np.random.default_rng(seed)
    of_heads = rng.uniform(0.1, 1.0, (2, kv_heads * group)).astype(np.float32)
    scale = float(np.float32(1 / np.sqrt(d)))
    expected = kernels.attention(
        q,
        k,
        v,
        window=window,
        scale=scale,
        soft_cap=soft_cap,
        slopes=of_heads[0] if slopes else None,
        sinks=of_heads[1] if sinks else None,
        kv_dtype=kv_dtype,
    )
    found = card.attention(
        q,
        k,
        v,
        KV_NUMBERS[kv_dtype],
        window or 0,
        scale,
        soft_cap or 0.0,
        of_heads[0] if slopes else None,
        of_heads[1] if sinks else None,
    )
    assert_same_bits(found, expected)
