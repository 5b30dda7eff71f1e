"""RMS norm against float64, and bit for bit between instruction sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import kernels
from tests import reference_ops as reference

SIZES = [1, 15, 16, 17, 255, 256, 257, 576, 640, 1000]


@pytest.mark.parametrize("n", SIZES)
def test_equals_float64_within_its_roundings(n: int) -> None:
    rng = np.random.default_rng(n)
    x, weight = rng.standard_normal((3, n), np.float32), rng.standard_normal(n, np.float32)
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.rms_norm(x, weight, 1e-5, isa=isa))
    expected = reference.rms_norm(x, weight, 1e-5)
    # 16 fma a lane, 4 folds, a chunk each, halved by the root; mean, sum, root, quotient and two products
    roundings = (16 + 4 + n / 256) / 2 + 6
    assert np.all(np.abs(y - expected) <= reference.EPS * roundings * np.abs(expected) + reference.TINY)


@given(
    n=st.integers(0, 600),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e15, 1e30]),
)
def test_any_size_and_magnitude_has_the_same_bits(n: int, seed: int, scale: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((2, n)) * scale).astype(np.float32)
    reference.assert_equal_on_all_isas(lambda isa: kernels.rms_norm(x, None, 1e-6, isa=isa))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e-42])
def test_odd_numbers_have_the_same_bits_and_stay_in_their_row(odd: float) -> None:
    x = np.random.default_rng(0).standard_normal((3, 100), np.float32)
    alone = kernels.rms_norm(x[:1])
    x[1, 37] = odd
    y = reference.assert_equal_on_all_isas(lambda isa: kernels.rms_norm(x, isa=isa))
    assert np.isnan(y[1, 37]) == (not np.isfinite(odd))
    assert np.array_equal(y[:1], alone)


def test_views_are_read_in_their_own_order() -> None:
    x = np.random.default_rng(1).standard_normal((50, 8), np.float32)
    unaligned = np.zeros(50 * 8 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(50, 8)
    unaligned[:] = x
    assert np.array_equal(kernels.rms_norm(x.T), kernels.rms_norm(np.ascontiguousarray(x.T)))
    assert np.array_equal(kernels.rms_norm(unaligned), kernels.rms_norm(x))
    assert np.array_equal(kernels.rms_norm(x[::2]), kernels.rms_norm(x)[::2])


def test_wrong_arguments_are_named() -> None:
    x = np.ones((2, 8), np.float32)
    with pytest.raises(TypeError, match="x: expected a float32 array, got float64"):
        kernels.rms_norm(x.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight: expected shape"):
        kernels.rms_norm(x, np.ones(7, np.float32))
    with pytest.raises(ValueError, match="isa"):
        kernels.rms_norm(x, isa="mmx")
