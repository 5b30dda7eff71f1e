"""Rotary embedding against float64, and bit for bit between instruction sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import kernels
from tests import reference_ops as reference


@given(
    head_dim=st.integers(1, 70),
    n_rot=st.integers(0, 35),
    pairs=st.sampled_from(["halves", "adjacent"]),
    first=st.sampled_from([0, 1, 1000, 2**31 - 10]),
    theta=st.sampled_from([10000.0, 1e6, 500.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_float64_within_its_roundings(
    head_dim: int, n_rot: int, pairs: str, first: int, theta: float, seed: int
) -> None:
    n_rot = min(2 * n_rot, head_dim // 2 * 2)
    x = np.random.default_rng(seed).standard_normal((3, 2, head_dim), np.float32)
    positions = first + np.arange(3)
    y = reference.assert_equal_on_all_isas(
        lambda isa: kernels.rope(x, positions, theta=theta, n_rot=n_rot, pairs=pairs, isa=isa)
    )
    expected = reference.rope(x, positions, theta, n_rot, pairs)
    # cos and sin rounded to float32, a product and an fma, of numbers up to |a| + |b|; the angle in double is wrong
    # by a unit in the last place of position * frequency, on both sides
    bound = (4 * reference.EPS + 4 * (first + 3) * 2.0**-52) * 2 * np.abs(x).max()
    assert np.all(np.abs(y - expected) <= bound)
    assert np.array_equal(y[..., n_rot:], x[..., n_rot:])


def test_position_0_turns_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 64), np.float32)
    assert np.array_equal(kernels.rope(x, [0]), x)


def test_a_rotation_is_undone_by_the_difference_of_positions() -> None:
    rng = np.random.default_rng(1)
    q, k = rng.standard_normal((2, 1, 1, 64), np.float32)
    near = np.vdot(kernels.rope(q, [5]), kernels.rope(k, [2]))
    far = np.vdot(kernels.rope(q, [1005]), kernels.rope(k, [1002]))
    assert abs(near - far) <= 64 * 16 * reference.EPS * np.abs(q).max() * np.abs(k).max()


def test_wrong_arguments_are_named() -> None:
    x = np.ones((2, 1, 8), np.float32)
    with pytest.raises(ValueError, match="positions: expected shape"):
        kernels.rope(x, [1, 2, 3])
    with pytest.raises(ValueError, match="n_rot"):
        kernels.rope(x, [1, 2], n_rot=3)
    with pytest.raises(ValueError, match="pairs: 'both'"):
        kernels.rope(x, [1, 2], pairs="both")
    with pytest.raises(TypeError, match="positions: expected integers"):
        kernels.rope(x, [0.5, 1.5])
