"""What no kernel can use is a TypeError or ValueError that names the argument, and no row of NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nextoken import NumericalError, kernels

Call = Callable[..., Any]


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def attention(**options: Any) -> Any:
    return kernels.attention(ones(2, 4, 8), ones(3, 2, 8), ones(3, 2, 8), **options)


def paged(n_keys: Any) -> Any:
    return kernels.paged_attention(ones(1, 4, 8), *kernels.kv_cache(1, 2, 8), [0], n_keys)


CALLS: dict[str, list[tuple[Call, Any]]] = {
    "eps": [
        (lambda v: kernels.rms_norm(ones(2, 4), eps=v), 0.0),
        (lambda v: kernels.layer_norm(ones(2, 4), eps=v), 1.0),
    ],
    "theta": [(lambda v: kernels.rope(ones(1, 1, 4), [1], theta=v), 1e6)],
    "scale": [(lambda v: attention(scale=v), -1.0)],
    "soft_cap": [(lambda v: attention(soft_cap=v), 30)],
}
COUNTS: dict[str, list[tuple[Call, Any]]] = {
    "n_keys": [(paged, np.int64(1))],
    "window": [(lambda v: attention(window=v), 2)],
    "n_rot": [(lambda v: kernels.rope(ones(1, 1, 4), [1], n_rot=v), 2)],
    "n_blocks": [(lambda v: kernels.kv_cache(v, 2, 8), 1)],
    "head_dim": [(lambda v: kernels.kv_cache(1, 2, v), 8)],
    "shape": [(lambda v: kernels.pack(b"", "q8_0", (v, 32)), 0)],
}


@pytest.mark.parametrize("name", CALLS)
def test_numbers_are_finite_numbers(name: str) -> None:
    for call, good in CALLS[name]:
        call(good)
        for bad in (float("nan"), float("inf"), -float("inf")):
            with pytest.raises(ValueError, match=name):
                call(bad)
        for bad in ("1", [1], True):
            with pytest.raises(TypeError, match=name):
                call(bad)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_integers(name: str) -> None:
    for call, good in COUNTS[name]:
        call(good)
        for bad in (-1, -(2**70), 2**70):
            with pytest.raises(ValueError, match=name):
                call(bad)
        for bad in (1.5, "1", True):
            with pytest.raises(TypeError, match=name):
                call(bad)


def test_a_norm_takes_no_negative_eps() -> None:
    for norm in (kernels.rms_norm, kernels.layer_norm):
        with pytest.raises(ValueError, match="eps"):
            norm(ones(2, 4), eps=-1e-6)


def test_weights_may_be_bytes_of_any_kind() -> None:
    x, raw = ones(2, 32), ones(4, 32).tobytes()
    expected = kernels.matmul(x, raw, weight_type="f32")
    for same in (bytearray(raw), memoryview(raw), np.frombuffer(raw, np.uint8)):
        assert (kernels.matmul(x, same, weight_type="f32") == expected).all()
    for none in ([1, 2], None, "abcd"):
        with pytest.raises(TypeError, match="weights"):
            kernels.matmul(x, none, weight_type="f32")  # type: ignore[arg-type]


def test_what_is_not_finite_has_no_codes() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        x = ones(2, 256)
        x[1, 3] = bad
        for weight_type in ("q4_0", "q8_0", "q4_k"):
            with pytest.raises(NumericalError, match=weight_type):
                kernels.quantize(x, weight_type)
        back = kernels.dequantize(kernels.quantize(x, "f16"), "f16", x.shape)
        assert np.array_equal(back, x, equal_nan=True)


def test_an_instruction_set_is_a_name() -> None:
    for bad in (3, b"scalar", True):
        with pytest.raises(TypeError, match="isa"):
            kernels.softmax(ones(3), isa=bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="isa"):
            kernels.matmul(ones(1, 32), kernels.pack(ones(4, 32).tobytes(), "f32", (4, 32)), isa=bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="this machine runs"):
        kernels.softmax(ones(3), isa="nonsense")


def test_a_shape_has_two_numbers() -> None:
    for bad in (5, (1, 2, 3), "ab c"):
        with pytest.raises(TypeError, match="shape"):
            kernels.pack(b"", "q8_0", bad)  # type: ignore[arg-type]
