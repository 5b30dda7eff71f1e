"""Gates and the soft cap against float64, at their extremes, and bit for bit between instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import _native, kernels
from tests import reference_ops as reference

native: Any = _native.kernels
GATES = {
    "silu": reference.silu,
    "gelu_tanh": reference.gelu_tanh,
    "gelu": reference.gelu,
    "relu": reference.relu,
    "relu_squared": lambda a: reference.relu(a) ** 2,
}


@pytest.mark.parametrize("gate", list(GATES))
@given(n=st.integers(0, 70), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.01, 1.0, 10.0]))
def test_gates_equal_float64_within_their_roundings(gate: str, n: int, seed: int, scale: float) -> None:
    a, b = (np.random.default_rng(seed).standard_normal((2, n)) * scale).astype(np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: native.gated_activation(gate, a, b, isa))
    expected = GATES[gate](a) * b
    # exp (2), sum, quotient, two products; gelu's angle z is wrong by 4 roundings, which exp makes |z| as large
    z = np.abs(a) * (1.6 + 0.08 * a.astype(np.float64) ** 2) if gate == "gelu_tanh" else 0 * a
    bound = reference.EPS * (8 + 4 * np.minimum(z, 90)) * np.abs(expected)
    # results whose exp is below exp(-87) are 0
    assert np.all(np.abs(y - expected) <= bound + 1e-36 * np.abs(a * b) + reference.TINY)


@pytest.mark.parametrize("gate", list(GATES))
def test_gates_at_their_extremes(gate: str) -> None:
    a = np.array([0, -0.0, 1e-42, 3e38, -3e38, 200, -200, np.inf, -np.inf, np.nan], np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: native.gated_activation(gate, a, np.ones_like(a), isa))
    expected = np.array([0, 0, 0, 3e38, 0, 200, 0, np.inf, 0, np.nan], np.float32)
    if gate == "relu_squared":
        expected[[3, 5]] = np.inf, 40000
    assert np.allclose(y, expected, rtol=0, atol=1e-41, equal_nan=True)


@pytest.mark.parametrize("gate", list(GATES))
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 300])
def test_an_activation_is_the_gate_of_one(gate: str, n: int) -> None:
    x = np.random.default_rng(n).standard_normal((2, n), np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.activation(x, gate, isa=isa))
    assert np.array_equal(y, native.gated_activation(gate, x, np.ones_like(x)))


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(ValueError, match="'gelu_new' is none of silu"):
        kernels.activation(np.ones(3, np.float32), "gelu_new")


@given(n=st.integers(0, 70), seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([0.1, 1.0, 8.0]))
def test_clamp_keeps_numbers_within_its_limit(n: int, seed: int, limit: float) -> None:
    x = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: native.clamp(limit, x, isa))
    assert np.array_equal(y, np.clip(x, -np.float32(limit), np.float32(limit)))


def test_clamp_keeps_nan() -> None:
    x = np.array([np.inf, -np.inf, np.nan, -0.0], np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: native.clamp(2.0, x, isa))
    assert np.array_equal(y, np.array([2, -2, np.nan, 0], np.float32), equal_nan=True)


@given(n=st.integers(0, 70), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-3, 1.0, 100.0]))
def test_soft_cap_equals_float64_within_its_roundings(n: int, seed: int, scale: float) -> None:
    x = (np.random.default_rng(seed).standard_normal(n) * scale).astype(np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: native.soft_cap(30.0, x, isa))
    expected = 30.0 * np.tanh(x.astype(np.float64) / 30.0)
    assert np.all(np.abs(y - expected) <= 8 * reference.EPS * np.abs(expected) + reference.TINY)


def test_soft_cap_holds_infinity_and_keeps_nan() -> None:
    x = np.array([np.inf, -np.inf, 3e38, np.nan, -0.0], np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: native.soft_cap(50.0, x, isa))
    assert np.array_equal(y, np.array([50, -50, 50, np.nan, 0], np.float32), equal_nan=True)
