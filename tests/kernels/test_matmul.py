"""Matmul: against float64, and the same bits whatever computes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import _native, kernels
from nextoken.errors import NumericalError, UnsupportedModelError
from tests import reference
from tests.blocks import HALVES, OTHER_SCALES, random_blocks, set_scales
from tests.kernels.test_quantize import BLOCKED, REFERENCE_QUANTISED, TYPES, random_bytes


def random_weights(weight_type: str, n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    if weight_type in BLOCKED:
        return random_bytes(weight_type, n * k // TYPES[weight_type][0], rng)
    return kernels.quantize(rng.standard_normal((n, k)).astype(np.float32), weight_type)


@st.composite
def problems(draw):
    """A type, raw weights, N, K and x."""
    weight_type = draw(st.sampled_from(list(TYPES)))
    block = TYPES[weight_type][0]
    k = draw(st.integers(1, 4 if block == 256 else 20)) * block if block > 1 else draw(st.integers(1, 150))
    n = draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((draw(st.integers(1, 70)), k)).astype(np.float32)
    x *= np.exp2(rng.integers(-30, 30, (len(x), 1))).astype(np.float32)
    return weight_type, random_weights(weight_type, n, k, rng), n, k, x


@given(problems())
def test_matmul_is_the_product_with_rounded_activations(problem):
    weight_type, data, n, k, x = problem
    weights = kernels.dequantize(data, weight_type, (n, k))
    expected, tolerance = reference.matmul(x, weights, weight_type)
    found = kernels.matmul(x, data, weight_type=weight_type)
    assert (np.abs(found - expected) <= tolerance).all()


@given(problems(), st.integers(1, 5), st.integers(1, 20))
def test_no_split_and_no_instruction_set_changes_a_bit(problem, panel_step, token_step):
    weight_type, data, n, k, x = problem
    packed = kernels.pack(data, weight_type, (n, k))
    whole = kernels.matmul(x, packed, isa="scalar")
    for isa in kernels.isas():
        reference.assert_same_bits(kernels.matmul(x, packed, isa=isa), whole)
        reference.assert_same_bits(_native.kernels.matmul(x, packed, isa, panel_step, token_step), whole)


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("weight_type", TYPES)
def test_a_row_does_not_see_its_neighbours(weight_type, isa):
    rng, n, k = np.random.default_rng(7), 40, 256
    packed = kernels.pack(random_weights(weight_type, n, k, rng), weight_type, (n, k))
    x = rng.standard_normal((33, k)).astype(np.float32)
    alone = np.concatenate([kernels.matmul(row[None], packed, isa=isa) for row in x])
    for tokens in range(1, 34):
        reference.assert_same_bits(kernels.matmul(x[:tokens], packed, isa=isa), alone[:tokens])


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("weight_type", REFERENCE_QUANTISED)
@pytest.mark.parametrize("k", [32, 544])
def test_the_order_of_operations_is_the_contract(weight_type, k, isa):
    rng, n = np.random.default_rng(8), 21
    data = random_weights(weight_type, n, k, rng)
    halves = data.reshape(n, k // 32, -1)[:, :, :4].copy().view("<f2").astype(np.float32)
    zero_point = {"q4_0": 8, "q5_0": 16, "q8_0": 0}.get(weight_type, 0)
    codes = np.rint(_codes(data, weight_type, n, k)) - zero_point
    minimum = halves[:, :, 1] if weight_type.endswith("_1") else None
    x = rng.standard_normal((9, k)).astype(np.float32)
    expected = reference.matmul_q32_contract(x, halves[:, :, 0], minimum, codes.astype(np.int64))
    reference.assert_same_bits(kernels.matmul(x, data, weight_type=weight_type, isa=isa), expected)


def _codes(data: np.ndarray, weight_type: str, n: int, k: int) -> np.ndarray:
    """Codes as they stand: dequantised with scale 1 and minimum 0, the zero point added back."""
    plain = data.reshape(n * k // 32, -1).copy()
    plain[:, :2] = np.array([1], "<f2").view(np.uint8)
    if weight_type.endswith("_1"):
        plain[:, 2:4] = 0
    return kernels.dequantize(plain, weight_type, (n, k)) + {"q4_0": 8, "q5_0": 16}.get(weight_type, 0)


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("weight_type", BLOCKED)
@pytest.mark.parametrize("code", [0, 0x80, 255])
@pytest.mark.parametrize("sign", ["plus", "minus", "alternating"])
def test_extreme_codes_and_activations_do_not_saturate(weight_type, code, sign, isa):
    n, k, size = 17, 512, TYPES[weight_type][1]
    data = np.full((n * k // TYPES[weight_type][0], size), code, np.uint8)
    if weight_type in ("mxfp4", "nvfp4"):
        data[:, : 1 if weight_type == "mxfp4" else 4] = 0x70
    else:
        set_scales(data, weight_type, [1.0] * len(HALVES.get(weight_type, (0,))))
    x = np.full((13, k), 1.0 if sign == "plus" else -1.0, np.float32)
    if sign == "alternating":
        x[:, ::2] = 1.0
    expected, tolerance = reference.matmul(x, kernels.dequantize(data, weight_type, (n, k)), weight_type)
    assert (
        np.abs(kernels.matmul(x, data.ravel(), weight_type=weight_type, isa=isa) - expected) <= tolerance
    ).all()


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("weight_type", [name for name in BLOCKED if name not in OTHER_SCALES])
def test_tiny_activations_are_zero_and_denormal_scales_are_not(weight_type, isa):
    rng, n, k = np.random.default_rng(9), 16, 512
    data = random_blocks(weight_type, n * k // TYPES[weight_type][0], rng)
    set_scales(data, weight_type, [2.0**-24] * len(HALVES[weight_type]))  # the smallest half
    x = rng.standard_normal((4, k)).astype(np.float32)
    x[1] = np.float32(2.0**-101)  # below the smallest block
    x[2] *= np.float32(2.0**-90)  # products and sums are denormal, and are kept
    found = kernels.matmul(x, data.ravel(), weight_type=weight_type, isa=isa)
    assert (found[1] == 0).all()
    assert (found[2] != 0).any()
    reference.assert_same_bits(found, kernels.matmul(x, data.ravel(), weight_type=weight_type, isa="scalar"))
    expected, tolerance = reference.matmul(x, kernels.dequantize(data, weight_type, (n, k)), weight_type)
    assert (np.abs(found - expected) <= tolerance + k * 2.0**-149).all()


def test_bf16_flushes_denormals_and_only_there():
    tiny = np.full((16, 32), 2.0**-100, np.float32)
    x = np.full((1, 32), 2.0**-30, np.float32)  # products of 2^-130 are denormal
    for isa in kernels.isas():
        found = {
            t: kernels.matmul(x, kernels.quantize(tiny, t), weight_type=t, isa=isa) for t in ("f32", "bf16")
        }
        assert (found["bf16"] == 0).all()
        assert (found["f32"] == 2.0**-125).all()


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 31, 32, 255, 511])
@pytest.mark.parametrize("weight_type", ["q4_1", "q6_k"])
def test_activations_that_are_not_finite_are_refused(weight_type, at, value, isa):
    data = random_weights(weight_type, 3, 512, np.random.default_rng(10))
    x = np.ones((2, 512), np.float32)
    x[1, at] = value
    with pytest.raises(NumericalError, match="x holds NaN or infinity"):
        kernels.matmul(x, data, weight_type=weight_type, isa=isa)


def test_no_rows_and_no_tokens_are_fine():
    assert kernels.matmul(np.ones((0, 32), np.float32), bytes(18), weight_type="q4_0").shape == (0, 1)
    assert kernels.matmul(np.ones((2, 32), np.float32), b"", weight_type="q4_0").shape == (2, 0)


def test_x_may_be_any_view():
    rng = np.random.default_rng(11)
    packed = kernels.pack(random_weights("q8_0", 5, 64, rng), "q8_0", (5, 64))
    x = rng.standard_normal((8, 128)).astype(np.float32)
    reference.assert_same_bits(
        kernels.matmul(x[::2, ::2], packed), kernels.matmul(x[::2, ::2].copy(), packed)
    )


def test_errors_name_the_argument():
    x, packed = np.ones((2, 64), np.float32), kernels.pack(bytes(34 * 2), "q8_0", (1, 64))
    with pytest.raises(TypeError, match="x: expected a float32 array, got float16"):
        kernels.matmul(x.astype(np.float16), packed)
    with pytest.raises(ValueError, match="x: expected 2 axes"):
        kernels.matmul(x[0], packed)
    with pytest.raises(ValueError, match=r"x: needs shape \(T, 64\)"):
        kernels.matmul(x[:, :32], packed)
    with pytest.raises(TypeError, match="weight_type: needed"):
        kernels.matmul(x, bytes(68))
    with pytest.raises(ValueError, match="weight_type: 'q4_0', but weights is packed q8_0"):
        kernels.matmul(x, packed, weight_type="q4_0")
    with pytest.raises(ValueError, match="weights: 67 bytes are no whole rows"):
        kernels.matmul(x, bytes(67), weight_type="q8_0")
    with pytest.raises(
        UnsupportedModelError, match="isa asks for kernels 'mmx'; this machine runs: .*scalar"
    ):
        kernels.matmul(x, packed, isa="mmx")
