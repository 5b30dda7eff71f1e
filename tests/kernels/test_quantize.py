"""Weight formats: to bytes and back."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import _native, kernels
from nextoken.errors import NumericalError
from tests import reference
from tests.blocks import HALVES, by_gguf, random_blocks, set_scales, sizes

TYPES = _native.kernels.weight_types()
FLOATS = ["f32", "f16", "bf16"]
BLOCKED = [name for name in TYPES if name not in FLOATS]
REFERENCE_QUANTISED = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"]
WRITTEN = [*FLOATS, *REFERENCE_QUANTISED, "q4_k", "q5_k", "q6_k"]
# How much more than the file a type takes in memory, where it is more than 3 %: types of two bits and less stand as
# codes of three or four, and the scales of the others are not packed.
WIDER = {
    "iq1_s": 2.17, "iq1_m": 2.08, "iq2_xxs": 1.64, "iq2_xs": 1.57, "iq2_s": 1.42, "iq3_xxs": 1.43, "iq3_s": 1.28,
    "q2_k": 1.2, "q3_k": 1.06, "tq1_0": 2.15, "tq2_0": 1.76, "nvfp4": 1.12,
}  # fmt: skip


def random_bytes(weight_type: str, n_blocks: int, rng: np.random.Generator) -> np.ndarray:
    return random_blocks(weight_type, n_blocks, rng).ravel()


def test_every_type_of_weights_that_ggml_computes_with_is_here():
    others = {"q8_1", "q8_k", "q1_0", "i8", "i16", "i32", "i64", "f64"}  # activations, integers
    assert set(TYPES) == {kind.name.lower() for kind in gguf.GGMLQuantizationType} - others
    assert {name: sizes(name) for name in BLOCKED} == {name: TYPES[name] for name in BLOCKED}


@pytest.mark.parametrize("weight_type", FLOATS)
def test_dequantize_of_floats_gives_the_bits_of_the_gguf_package(weight_type):
    data = kernels.quantize(np.random.default_rng(1).standard_normal(4096).astype(np.float32), weight_type)
    reference.assert_same_bits(kernels.dequantize(data, weight_type), by_gguf(data, weight_type))


@pytest.mark.parametrize("weight_type", BLOCKED)
@given(st.integers(1, 9), st.integers(0, 2**32))
def test_dequantize_gives_the_bits_of_the_gguf_package(weight_type, n_blocks, seed):
    data = random_bytes(weight_type, n_blocks, np.random.default_rng(seed))
    reference.assert_same_bits(kernels.dequantize(data, weight_type), by_gguf(data, weight_type))


@pytest.mark.parametrize("weight_type", BLOCKED)
def test_denormal_and_zero_scales_dequantize_alike(weight_type):
    if weight_type in ("mxfp4", "nvfp4"):
        return  # have no f16
    data = random_blocks(weight_type, 64, np.random.default_rng(2))
    n = len(HALVES.get(weight_type, (0,)))
    set_scales(data[:32], weight_type, [2.0**-24] * n)  # the smallest half
    set_scales(data[32:], weight_type, [-0.0] * n)
    reference.assert_same_bits(kernels.dequantize(data.ravel(), weight_type), by_gguf(data, weight_type))


@pytest.mark.parametrize(("weight_type", "at"), [("mxfp4", 0), ("nvfp4", 0), ("nvfp4", 3)])
def test_every_small_float_of_a_scale_is_that_of_the_gguf_package(weight_type, at):
    data = random_blocks(weight_type, 256, np.random.default_rng(3))
    data[:, at] = np.arange(256)
    if weight_type == "mxfp4":
        data = data[:255]  # 255 is no number: refused when it is packed
    found = kernels.dequantize(data.ravel(), weight_type)
    reference.assert_same_bits(found, by_gguf(data, weight_type))
    # The largest two exponents overflow; all ones is no number.
    data = data[:253] if weight_type == "mxfp4" else data[data[:, at] & 0x7F != 0x7F]
    for isa in kernels.isas():
        k = TYPES[weight_type][0]
        packed = kernels.pack(data, weight_type, (len(data), k))
        rows = _native.kernels.unpack_rows(packed, np.arange(len(data)), isa)
        reference.assert_same_bits(rows.ravel(), by_gguf(data, weight_type))


@pytest.mark.parametrize("weight_type", REFERENCE_QUANTISED)
@given(st.data())
def test_quantize_rounds_as_the_reference_quantiser(weight_type, data):
    values = st.floats(-(2.0**15), 2.0**15, width=32)
    block = data.draw(st.lists(values, min_size=32, max_size=32) | st.just([0.0] * 32) | st.just([-3.5] * 32))
    x = np.array(block, np.float32)
    if 0 < np.abs(x).max() < 2.0**-100:
        return  # 1 / scale overflows in the reference itself
    assert kernels.quantize(x, weight_type).tolist() == reference.quantize(x, weight_type).tolist()


@pytest.mark.parametrize("weight_type", REFERENCE_QUANTISED)
def test_quantize_of_many_rows_rounds_as_the_reference_quantiser(weight_type):
    x = np.random.default_rng(3).standard_normal((50, 320)).astype(np.float32)
    np.testing.assert_array_equal(kernels.quantize(x, weight_type), reference.quantize(x, weight_type))


@pytest.mark.parametrize("weight_type", WRITTEN)
def test_a_quantised_array_comes_back_within_a_step(weight_type):
    x = np.random.default_rng(4).standard_normal((8, 512)).astype(np.float32)
    back = kernels.dequantize(kernels.quantize(x, weight_type), weight_type, x.shape)
    elements = TYPES[weight_type][0]
    if elements == 1:
        relative = {"f32": 0, "f16": 2.0**-11, "bf16": 2.0**-8}[weight_type]
        np.testing.assert_array_less(np.abs(back - x), relative * np.abs(x) + 1e-30)
        return
    bits = int(weight_type[1])
    # A step of a block that spans twice its largest magnitude in 2^bits - 1 steps; one step where the largest code
    # is cut off (_0 types have one value less on one side), and as much again for rounded scales and sub-scales:
    # half of 1/63 (Q4_K, Q5_K, scale and minimum) or of 1/128 of the block's largest, on each of 2^bits steps.
    span = 2 * np.abs(x).reshape(-1, elements).max(axis=1, keepdims=True)
    sub_scales = {"q4_k": span / 63, "q5_k": span / 63, "q6_k": span / 256}.get(weight_type, 0 * span)
    allowed = span / (2**bits - 1) + sub_scales + span * 2.0**-10
    assert (np.abs(back - x).reshape(-1, elements) <= allowed).all()


def float64_parts(data: np.ndarray, weight_type: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """What the bytes of a K-type say, in float64: step and least value of each sub-block, values, the largest code."""
    if weight_type == "q6_k":
        step = np.float64(data[:, 208:210].copy().view("<f2")) * data[:, 192:208].view(np.int8)
        return step, -32 * step, by_gguf(data, weight_type).astype(np.float64), 63
    half = data[:, :4].copy().view("<f2").astype(np.float64)
    bits = data[:, 4:16].astype(int)
    low, high = bits[:, :4], bits[:, 4:8]
    scales = np.hstack([low & 63, bits[:, 8:] & 15 | low >> 6 << 4])
    minima = np.hstack([high & 63, bits[:, 8:] >> 4 | high >> 6 << 4])
    least = -half[:, 1:] * minima
    return (
        half[:, :1] * scales,
        least,
        by_gguf(data, weight_type).astype(np.float64),
        2 ** int(weight_type[1]) - 1,
    )


@pytest.mark.parametrize("weight_type", ["q4_k", "q5_k", "q6_k"])
@pytest.mark.parametrize("shape", ["normal", "laplace", "positive", "zeros", "one"])
def test_each_code_is_the_nearest_that_its_scales_allow(weight_type, shape):
    rng = np.random.default_rng(6)
    x = {
        "normal": rng.standard_normal(64 * 256),
        "laplace": rng.laplace(size=64 * 256) * 1e-3,
        "positive": np.abs(rng.standard_normal(64 * 256)) + 0.5,
        "zeros": np.zeros(64 * 256),
        "one": np.eye(64, 256).ravel(),
    }[shape].astype(np.float32)
    data = kernels.quantize(x, weight_type).reshape(64, -1)
    step, least, back, top = float64_parts(data, weight_type)
    parts = step.shape[1]
    x64, back = x.astype(np.float64).reshape(64, parts, -1), back.reshape(64, parts, -1)
    step, least = step[..., None], least[..., None]
    ends = np.sort(np.concatenate([least, least + top * step], axis=2), axis=2)
    nearest = np.abs(x64 - np.clip(x64, ends[..., :1], ends[..., 1:])) + np.abs(step) / 2
    # float32 quotients of up to 63 may choose the other side of a tie
    assert (np.abs(back - x64) <= nearest + 1e-5 * np.abs(step) * top + 1e-6 * np.abs(x64)).all()


# The error of ggml's own quantisers (quantize_row_q4_K_ref and so on, of ggml 0.25.3) on the same numbers.
GGML_ERROR = {
    "q4_k": {0: 0.07129, 1: 0.08459},
    "q5_k": {0: 0.03611, 1: 0.04277},
    "q6_k": {0: 0.01775, 1: 0.02168},
}


@pytest.mark.parametrize("weight_type", GGML_ERROR)
@pytest.mark.parametrize("heavy", [0, 1])
def test_k_types_lose_no_more_than_with_the_quantisers_of_ggml(weight_type, heavy):
    rng = np.random.default_rng(0)
    normal, laplace = rng.standard_normal(1 << 20), rng.laplace(size=1 << 20)
    x = (laplace if heavy else normal)[: 1 << 17].astype(np.float32) * np.float32(0.02)
    back = kernels.dequantize(kernels.quantize(x, weight_type), weight_type).astype(np.float64)
    error = np.sqrt(np.mean((back - x) ** 2) / np.mean(x.astype(np.float64) ** 2))
    assert error < GGML_ERROR[weight_type][heavy]


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("weight_type", TYPES)
@pytest.mark.parametrize("n_rows", [1, 16, 19])
def test_rows_of_packed_weights_are_those_of_the_file(weight_type, n_rows, isa):
    rng, k = np.random.default_rng(5), 768 if weight_type in BLOCKED else 37
    data = (
        random_bytes(weight_type, n_rows * k // TYPES[weight_type][0], rng)
        if weight_type in BLOCKED
        else None
    )
    if data is None:
        data = kernels.quantize(rng.standard_normal((n_rows, k)).astype(np.float32), weight_type)
    packed = kernels.pack(data, weight_type, (n_rows, k))
    rows = rng.permutation(n_rows)
    found = _native.kernels.unpack_rows(packed, rows, isa)
    reference.assert_same_bits(found, kernels.dequantize(data, weight_type, (n_rows, k))[rows])


@pytest.mark.parametrize("weight_type", TYPES)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_weights_that_are_not_finite_are_refused(weight_type, value):
    k = 256
    if weight_type in BLOCKED:
        n = len(HALVES.get(weight_type, (0,)))
        for at in range(n):
            bad = random_blocks(weight_type, 20 * k // TYPES[weight_type][0], np.random.default_rng(6))
            if weight_type in ("mxfp4", "nvfp4"):
                bad[-1, 0] = 0xFF if weight_type == "mxfp4" else 0x7F
            else:
                set_scales(bad[-1:], weight_type, [value if i == at else 1.0 for i in range(n)])
            with pytest.raises(NumericalError, match=weight_type.upper()):
                kernels.pack(bad, weight_type, (20, k))
    else:
        x = np.ones((20, k), np.float32)
        x[19, 255] = value
        with pytest.raises(NumericalError, match=weight_type.upper()):
            kernels.pack(kernels.quantize(x, weight_type), weight_type, (20, k))


@pytest.mark.parametrize("weight_type", TYPES)
def test_packed_size_is_that_of_the_file_and_a_header(weight_type):
    elements, size = TYPES[weight_type]
    k = 2048
    packed = kernels.pack(np.zeros(32 * k // elements * size, np.uint8), weight_type, (32, k))
    assert packed.type == weight_type
    assert packed.shape == (32, k)
    in_file = 32 * k * size // elements
    assert in_file <= packed.nbytes <= WIDER.get(weight_type, 1.03) * in_file
    assert packed.nbytes == _native.kernels.packed_bytes(
        gguf.GGMLQuantizationType[weight_type.upper()], 32, k
    )


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="weight_type: 'q9_9' is none of"):
        kernels.quantize(np.ones(32, np.float32), "q9_9")
    with pytest.raises(TypeError, match="array: expected a float32 array, got float64"):
        kernels.quantize(np.ones(32), "q4_0")
    with pytest.raises(ValueError, match="weight_type: 'iq2_xs' is read, not written"):
        kernels.quantize(np.ones(256, np.float32), "iq2_xs")
    with pytest.raises(ValueError, match="array: shape"):
        kernels.quantize(np.ones((32, 31), np.float32), "q4_0")
    with pytest.raises(ValueError, match="data: 19 bytes"):
        kernels.dequantize(bytes(19), "q4_0")
    with pytest.raises(ValueError, match="shape: "):
        kernels.dequantize(bytes(18), "q4_0", (5, 5))
    with pytest.raises(TypeError, match="data: expected bytes"):
        kernels.dequantize(np.ones(18, np.int8), "q4_0")
    with pytest.raises(ValueError, match="weights: 18 bytes, the shape needs 36"):
        kernels.pack(bytes(18), "q4_0", (2, 32))
    with pytest.raises(ValueError, match="shape: rows of 33 elements"):
        kernels.pack(bytes(18), "q4_0", (1, 33))
    with pytest.raises(ValueError, match="shape: "):
        kernels.pack(bytes(0), "q4_0", (-1, 32))
    with pytest.raises(ValueError, match="shape: too large"):
        kernels.pack(bytes(0), "f32", (2**62, 2**40))
