"""Softmax, its maximum and sum, and argmax: against float64 and bit for bit between instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import _native, kernels
from tests import reference_ops as reference

native: Any = _native.kernels


@pytest.mark.parametrize("n", [1, 15, 16, 17, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("scale", [0.1, 5.0, 100.0])
def test_equals_float64_within_its_roundings(n: int, scale: float) -> None:
    x = (np.random.default_rng(n).standard_normal((2, n)) * scale).astype(np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.softmax(x, isa=isa))
    expected = reference.softmax(x)
    # x - max rounds, and exp makes that |x - max| as large; exp 2; 64 sums a lane, 4 folds; the quotient
    roundings = np.minimum(np.abs(x - x.max(axis=-1, keepdims=True)), 90) + 2 + 64 + 4 + 2
    # results below exp(-87) are 0
    assert np.all(np.abs(y - expected) <= 2 * reference.EPS * roundings * expected + 2e-38)


def test_a_large_vocabulary_costs_no_accuracy() -> None:
    x = np.random.default_rng(0).standard_normal(262144, np.float32)
    top, total = native.max_sum_exp(x)
    exact = np.exp(x.astype(np.float64) - x.max()).sum()
    assert top == x.max()
    assert abs(total - exact) <= (64 + 4 + 8) * reference.EPS * exact


@given(
    st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 3e38, -3e38, np.nan, np.inf, -np.inf, 1e-42]), max_size=40
    )
)
def test_odd_numbers_have_the_same_bits(values: list[float]) -> None:
    x = np.array([values], np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.softmax(x, isa=isa))
    hopeless = np.isnan(x).any() or np.isposinf(x).any() or not np.isfinite(x).any()
    assert not x.size or np.isnan(y).all() == hopeless or np.isnan(y).any() == hopeless
    for isa in kernels.isas():
        assert not x.size or np.isnan(native.max_sum_exp(x[0], isa)[1]) == hopeless


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, 1.0, -1.0, np.nan, np.inf, -np.inf]), max_size=700))
def test_argmax_is_the_lowest_index_of_the_largest(values: list[float]) -> None:
    x = np.array(values, np.float32)
    real = x[~np.isnan(x)]
    expected = int(np.flatnonzero(x == real.max())[0]) if real.size else -1
    assert {native.argmax(x, isa) for isa in kernels.isas()} == {expected}


@pytest.mark.parametrize("n", [1, 16, 255, 256, 257, 5000])
def test_argmax_finds_every_place(n: int) -> None:
    for place in {0, n // 3, n - 1}:
        x = -np.ones(n, np.float32)
        x[place] = 2
        assert {native.argmax(x, isa) for isa in kernels.isas()} == {place}


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="x: expected a float32 array"):
        kernels.softmax([1.0, 2.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x: expected at least one axis"):
        kernels.softmax(np.ones((), np.float32))
