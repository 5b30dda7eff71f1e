"""Layer norm against float64, and bit for bit between instruction sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import kernels
from tests import reference_ops as reference

SIZES = [1, 15, 16, 17, 255, 256, 257, 576, 640, 1000]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_equals_float64_within_its_roundings(n: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    x = (rng.standard_normal((3, n)) + shift).astype(np.float32)
    weight, bias = rng.standard_normal((2, n)).astype(np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.layer_norm(x, weight, bias, 1e-5, isa=isa))
    expected = reference.layer_norm(x, weight, bias, 1e-5)
    scale = 1 / np.sqrt(x.astype(np.float64).var(axis=-1, keepdims=True) + 1e-5)
    # The mean's sums are 16 a lane, 4 folds and a chunk each; its error goes into every difference.
    sums = 16 + 4 + n / 256
    mean_error = reference.EPS * (sums + 1) * np.abs(x).mean(axis=-1, keepdims=True)
    relative = reference.EPS * (sums / 2 + 8)
    bound = np.abs(weight) * scale * mean_error * 2 + relative * (np.abs(expected - bias) + np.abs(expected))
    assert np.all(np.abs(y - expected) <= bound + reference.TINY)


@given(
    n=st.integers(1, 600),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e15, 1e30]),
)
def test_any_size_and_magnitude_has_the_same_bits(n: int, seed: int, scale: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((2, n)) * scale).astype(np.float32)
    reference.assert_equal_on_all_isas(lambda isa: kernels.layer_norm(x, None, None, 1e-6, isa=isa))


def test_without_a_bias_it_is_the_same_with_zeros() -> None:
    x = np.random.default_rng(1).standard_normal((4, 100), np.float32)
    weight = np.random.default_rng(2).standard_normal(100, np.float32)
    assert np.array_equal(
        kernels.layer_norm(x, weight), kernels.layer_norm(x, weight, np.zeros(100, np.float32))
    )


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e-42])
def test_odd_numbers_have_the_same_bits_and_stay_in_their_row(odd: float) -> None:
    x = np.random.default_rng(0).standard_normal((3, 100), np.float32)
    alone = kernels.layer_norm(x[:1])
    x[1, 37] = odd
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.layer_norm(x, isa=isa))
    assert np.isnan(y[1]).all() == (not np.isfinite(odd))
    assert np.array_equal(y[:1], alone)


def test_wrong_arguments_are_named() -> None:
    x = np.ones((2, 8), np.float32)
    with pytest.raises(TypeError, match="x: expected a float32 array, got float64"):
        kernels.layer_norm(x.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight: expected shape"):
        kernels.layer_norm(x, np.ones(7, np.float32))
    with pytest.raises(ValueError, match="bias: expected shape"):
        kernels.layer_norm(x, None, np.ones(7, np.float32))
