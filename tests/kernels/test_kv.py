"""Keys and values into blocks of the cache and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import _native, kernels
from tests import reference_ops as reference

native: Any = _native.kernels


@given(
    head_dim=st.sampled_from([1, 3, 15, 16, 17, 64, 80]),
    kv_dtype=st.sampled_from(["f16", "f32"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_written_stands_where_the_layout_says_and_is_read_back(
    head_dim: int, kv_dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    slots = rng.permutation(3 * kernels.KV_BLOCK)[:20]
    k, v = rng.standard_normal((2, 20, 2, head_dim), np.float32)
    caches = []
    for isa in kernels.isas():
        keys, values = kernels.kv_cache(3, 2, head_dim, kv_dtype)
        kernels.kv_write(keys, values, k, v, slots, isa=isa)
        caches.append((keys, values))
        for t, s in enumerate(slots):
            assert np.array_equal(keys[s // 64, :, s % 64 // 16, :, s % 16], k[t].astype(keys.dtype))
            assert np.array_equal(values[s // 64, :, s % 64, :head_dim], v[t].astype(values.dtype))
        back_k, back_v = native.kv_read(keys, values, slots, isa)
        assert np.array_equal(back_k, k.astype(keys.dtype).astype(np.float32))
        assert np.array_equal(back_v, v.astype(keys.dtype).astype(np.float32))
    assert all(np.array_equal(c[0], caches[0][0]) and np.array_equal(c[1], caches[0][1]) for c in caches)


@given(
    head_dim=st.sampled_from([1, 2, 3, 15, 16, 17, 64, 80]),
    exponent=st.sampled_from([-110, -60, 0, 60, 120]),
    seed=st.integers(0, 2**32 - 1),
)
def test_q8_holds_a_scale_and_codes_for_each_key_and_value(head_dim: int, exponent: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    slots = rng.permutation(3 * kernels.KV_BLOCK)[:20]
    k, v = rng.standard_normal((2, 20, 2, head_dim), np.float32) * np.float32(2.0**exponent)
    k[3], v[4, 1] = 0, 0
    width, padded = head_dim + head_dim % 2, -(-head_dim // 16) * 16
    caches = []
    for isa in kernels.isas():
        keys, values = kernels.kv_cache(3, 2, head_dim, "q8")
        kernels.kv_write(keys, values, k, v, slots, isa=isa)
        caches.append((keys, values))
        k_codes = keys[:, :, : 64 * width].reshape(3, 2, 4, width // 2, 16, 2)
        v_codes = values[:, :, : 64 * padded].reshape(3, 2, 32, padded, 2)
        k_scales = keys[:, :, 64 * width :].copy().view(np.float32)
        v_scales = values[:, :, 64 * padded :].copy().view(np.float32)
        back_k, back_v = native.kv_read(keys, values, slots, isa, head_dim)
        for x, back, codes, scales in ((k, back_k, k_codes, k_scales), (v, back_v, v_codes, v_scales)):
            expected, scale = reference.quantize(x)
            for t, s in enumerate(slots):
                block, at = s // 64, s % 64
                stored = (
                    codes[block, :, at // 16, :, at % 16] if x is k else codes[block, :, at // 2, :, at % 2]
                )
                assert np.array_equal(stored.reshape(2, -1)[:, :head_dim], expected[t])
                assert not stored.reshape(2, -1)[:, head_dim:].any()
                assert np.array_equal(scales[block, :, at], scale[t])
            assert np.array_equal(back, expected.astype(np.float32) * scale[..., None])
            # half a step, and roundings of x * factor, of the scale and of the product
            step = np.abs(x).max(axis=-1, keepdims=True) / 127
            assert np.all(np.abs(back - x) <= step * 0.5001 + 2.0**-100)
    assert all(np.array_equal(c[0], caches[0][0]) and np.array_equal(c[1], caches[0][1]) for c in caches)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("isa", kernels.isas())
def test_what_is_not_finite_is_not_finite_in_q8_either(odd: float, isa: str) -> None:
    keys, values = kernels.kv_cache(1, 1, 20, "q8")
    row = np.ones((2, 1, 20), np.float32)
    row[1, 0, 17] = odd
    kernels.kv_write(keys, values, row, row, [0, 1], isa=isa)
    for back in native.kv_read(keys, values, np.array([0, 1]), isa, 20):
        assert np.array_equal(back[0], row[0])
        assert np.isnan(back[1]).all()


def test_every_half_rounds_as_numpy_rounds() -> None:
    """Ties, subnormals, overflow, infinities and NaN on each instruction set."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        between = (halves + np.nextafter(halves, np.float32(np.inf))) / 2
        near = np.concatenate(
            [halves, halves * np.float32(1.00048828125), between, halves * np.float32(1e-3)]
        )
        expected = near.astype(np.float16)
    k = near.reshape(-1, 1, 256)
    for isa in kernels.isas():
        keys, values = kernels.kv_cache(-(-len(k) // 64), 1, 256)
        kernels.kv_write(keys, values, k, k, np.arange(len(k)), isa=isa)
        got = values.reshape(-1, 256)[: len(k)].reshape(-1)
        same = (got.view(np.uint16) == expected.view(np.uint16)) | (np.isnan(got) & np.isnan(expected))
        assert same.all(), f"{isa}: {near[~same][:3]}"


def test_wrong_arguments_are_named() -> None:
    keys, values = kernels.kv_cache(2, 1, 8)
    row = np.ones((1, 1, 8), np.float32)
    with pytest.raises(IndexError, match="slots: 128 is outside the cache"):
        kernels.kv_write(keys, values, row, row, [128])
    with pytest.raises(IndexError, match="slots"):
        kernels.kv_write(keys, values, row, row, [-1])
    with pytest.raises(ValueError, match="k: has 1, needs 2"):
        kernels.kv_write(keys, values, row, row, [0, 1])
    with pytest.raises(TypeError, match="k_cache: needs float16 or float32"):
        kernels.kv_write(keys.astype(np.float64), values, row, row, [0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k_cache: needs to be contiguous"):
        kernels.kv_write(keys[..., ::-1], values, row, row, [0])
    with pytest.raises(ValueError, match="kv_dtype: 'q4'"):
        kernels.kv_cache(1, 1, 1, "q4")
    codes = kernels.kv_cache(2, 1, 8, "q8")
    with pytest.raises(ValueError, match="k_cache axis 2"):
        kernels.kv_write(*codes, np.ones((1, 1, 6), np.float32), np.ones((1, 1, 6), np.float32), [0])
    wide = np.ones((1, 1, 1026), np.float32)
    with pytest.raises(ValueError, match="k_cache: q8 takes heads of 1 to 1024"):
        kernels.kv_write(*kernels.kv_cache(1, 1, 1026, "q8"), wide, wide, [0])
    keys.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        kernels.kv_write(keys, values, row, row, [0])
