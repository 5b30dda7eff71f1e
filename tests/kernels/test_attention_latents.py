"""Attention to latents: against float64, and the same bits on every instruction set and in every tiling."""

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


def held(x: Array, latent_dim: int, kv_dtype: str) -> Array:
    """What a cache of `kv_dtype` holds of latents x (T, d): of q8 two scales a token."""
    if kv_dtype != "q8":
        return x.astype(np.float16 if kv_dtype == "f16" else np.float32).astype(np.float32)
    parts = [reference.quantize(part) for part in np.split(x, [latent_dim], axis=1) if part.size]
    return np.concatenate([codes * scale[..., None] for codes, scale in parts], axis=1)


@given(
    latent_dim=st.sampled_from([1, 7, 16, 21, 64]),
    rotated=st.sampled_from([0, 1, 8, 16, 27]),
    n_q=st.integers(1, 9),
    before=st.integers(0, 330),
    n_heads=st.integers(1, 8),
    kv_dtype=st.sampled_from(["f16", "f32", "q8"]),
    seed=st.integers(0, 2**32 - 1),
)
@example(latent_dim=512, rotated=64, n_q=1, before=600, n_heads=16, kv_dtype="f16", seed=0)
@example(latent_dim=256, rotated=32, n_q=9, before=500, n_heads=10, kv_dtype="f16", seed=1)
@example(latent_dim=256, rotated=32, n_q=1, before=255, n_heads=10, kv_dtype="q8", seed=2)
@example(latent_dim=41, rotated=9, n_q=9, before=256, n_heads=3, kv_dtype="f32", seed=3)
def test_equals_float64_and_every_tiling_and_isa(
    latent_dim: int, rotated: int, n_q: int, before: int, n_heads: int, kv_dtype: str, seed: int
) -> None:
    n_k, d = n_q + before, latent_dim + rotated
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((n_q, n_heads, d), np.float32)
    x = rng.standard_normal((n_k, d), np.float32)
    scale = 1 / np.sqrt(d)

    def run(isa: str, token_step: int = 4, by_segments: bool = False) -> Array:
        blocks = native.latent_blocks(x, latent_dim, kv_dtype, isa)
        y: Array = native.attention_to_latents(
            q, blocks, n_k, latent_dim, kv_dtype, scale, token_step, by_segments, isa
        )
        return y

    y = reference.assert_equal_on_all_isas(run)
    k = held(x, latent_dim, kv_dtype)[:, None]
    expected, bound = reference.attention(q, k, k[:, :, :latent_dim], None, scale, None)
    assert np.all(np.abs(y - expected) <= bound)
    for isa in kernels.isas():
        if isa == "scalar" and n_q * n_k * n_heads * d > 100_000:
            continue  # its software fma takes minutes; the ISAs were compared above
        for token_step, by_segments in [(1, False), (9, False), (1, True), (5, True)]:
            other = run(isa, token_step, by_segments)
            assert np.array_equal(y.view(np.uint32), other.view(np.uint32)), (isa, token_step, by_segments)


def test_odd_values_of_later_keys_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    q = rng.standard_normal((2, 3, 40), np.float32)
    x = rng.standard_normal((70, 40), np.float32)
    x[69] = np.nan
    for kv_dtype in ("f16", "f32", "q8"):
        blocks = native.latent_blocks(x, 32, kv_dtype)
        y = native.attention_to_latents(q, blocks, 70, 32, kv_dtype, 0.125)
        assert np.isfinite(y[0]).all()
        assert np.isnan(y[1]).all()


def test_arguments_that_do_not_fit_are_refused() -> None:
    x = np.ones((65, 40), np.float32)
    blocks, q = native.latent_blocks(x, 32, "f16"), np.ones((1, 2, 40), np.float32)
    for latent_dim in (0, 41):
        with pytest.raises(ValueError, match="latent_dim"):
            native.latent_blocks(x, latent_dim, "f16")
        with pytest.raises(ValueError, match="latent_dim"):
            native.attention_to_latents(q, blocks, 65, latent_dim, "f16", 1.0)
    with pytest.raises(ValueError, match="blocks axis 1"):
        native.attention_to_latents(q, blocks, 65, 32, "f32", 1.0)
    for n_keys in (0, 129):
        with pytest.raises(ValueError, match="n_keys"):
            native.attention_to_latents(q, blocks, n_keys, 32, "f16", 1.0)
    with pytest.raises(ValueError, match="q: more tokens"):
        native.attention_to_latents(np.ones((3, 2, 40), np.float32), blocks, 2, 32, "f16", 1.0)
    with pytest.raises(ValueError, match="token_step"):
        native.attention_to_latents(q, blocks, 65, 32, "f16", 1.0, 0)
