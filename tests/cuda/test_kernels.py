"""Each CUDA kernel gives the bits of the CPU's, over the cases that the CPU's are tested with. Not products of bf16:
test_bf16.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextoken import _native, kernels
from nextoken.errors import NumericalError
from tests import reference
from tests.cuda.conftest import Card
from tests.kernels.test_matmul import random_weights
from tests.kernels.test_quantize import TYPES

native: Any = _native.kernels
NUMBERS = {
    **{"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8},
    **{
        "q4_k": 12,
        "q5_k": 13,
        "q6_k": 14,
        "bf16": 30,
        "q2_k": 10,
        "q3_k": 11,
        "iq4_nl": 20,
        "mxfp4": 39,
        "nvfp4": 40,
    },
    **{
        "iq2_xxs": 16,
        "iq2_xs": 17,
        "iq3_xxs": 18,
        "iq1_s": 19,
        "iq3_s": 21,
        "iq2_s": 22,
        "iq4_xs": 23,
        "iq1_m": 29,
    },
    **{"tq1_0": 34, "tq2_0": 35},
}
SAME_PRODUCTS = sorted(set(NUMBERS) - {"bf16"})  # as the CPU's, bit for bit
GATES = ("silu", "gelu_tanh", "gelu", "relu", "relu_squared")
cases = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
EDGES = [0.0, -0.0, 1e-42, -1e-42, 1.5, -87.0, -88.5, 90.0, 1e4, -1e4, 3e38, -3e38]


def equal(found: Any, expected: Any) -> None:
    reference.assert_same_bits(np.asarray(found), np.asarray(expected))


def numbers(draw: Any, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal(shape).astype(np.float32)
    x *= np.exp2(rng.integers(-30, 30, (*shape[:-1], 1))).astype(np.float32)
    return x


@st.composite
def products(draw: Any) -> tuple[str, np.ndarray, int, int, np.ndarray]:
    """A type, raw weights, N, K and x (T, K): blocks past a step, panels half full, T over a tile."""
    weight_type = draw(st.sampled_from(SAME_PRODUCTS))
    block = TYPES[weight_type][0]
    k = draw(st.integers(1, 10 if block == 256 else 70)) * block if block > 1 else draw(st.integers(1, 300))
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return (
        weight_type,
        random_weights(weight_type, n, k, rng),
        n,
        k,
        numbers(draw, (draw(st.integers(1, 11)), k)),
    )


@cases
@given(problem=products())
def test_matmul_gives_the_bits_of_the_cpu(card: Card, problem: Any) -> None:
    weight_type, data, n, k, x = problem
    packed = kernels.pack(data, weight_type, (n, k))
    found = card.matmul(NUMBERS[weight_type], packed.panels(), n, k, x)
    equal(found, kernels.matmul(x, packed))
    for row in (0, len(x) - 1):  # the kernel for one token
        equal(
            card.matmul(NUMBERS[weight_type], packed.panels(), n, k, x[row : row + 1]), found[row : row + 1]
        )


@pytest.mark.parametrize("weight_type", SAME_PRODUCTS)
@settings(cases, max_examples=6)
@given(data=st.data())
def test_products_of_many_tokens_give_the_bits_of_the_cpu(
    card: Card, weight_type: str, data: st.DataObject
) -> None:
    """On tensor cores, which the host launcher emulates: tiles half full, steps of k half full, warps without rows."""
    tokens = data.draw(st.sampled_from([9, 16, 31, 33, 64, 127, 129, 193]))
    n, block = data.draw(st.integers(1, 150)), TYPES[weight_type][0]
    k = data.draw(st.integers(1, 4)) * 256 if block == 256 else data.draw(st.integers(1, 11)) * max(32, block)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    packed = kernels.pack(random_weights(weight_type, n, k, rng), weight_type, (n, k))
    x = numbers(data.draw, (tokens, k))
    found = card.matmul(NUMBERS[weight_type], packed.panels(), n, k, x)
    equal(found, kernels.matmul(x, packed))


@pytest.mark.parametrize("weight_type", sorted(NUMBERS))
def test_rows_of_the_embedding_are_those_of_the_cpu(card: Card, weight_type: str) -> None:
    rng = np.random.default_rng(5)
    n, k = 37, 512
    packed = kernels.pack(random_weights(weight_type, n, k, rng), weight_type, (n, k))
    ids = np.array([36, 0, 15, 16, 20, 0])
    found = card.rows(NUMBERS[weight_type], packed.panels(), n, k, ids)
    equal(found, native.unpack_rows(packed, ids))


@pytest.mark.parametrize("weight_type", ["q4_1", "q6_k"])
def test_activations_that_are_not_finite_are_an_error(card: Card, weight_type: str) -> None:
    n, k = 16, 256
    packed = kernels.pack(random_weights(weight_type, n, k, np.random.default_rng(6)), weight_type, (n, k))
    for value in (np.nan, np.inf, -np.inf):
        x = np.ones((3, k), np.float32)
        x[1, 77] = value
        with pytest.raises(ArithmeticError):
            card.matmul(NUMBERS[weight_type], packed.panels(), n, k, x)
        with pytest.raises(NumericalError):
            kernels.matmul(x, packed)


@cases
@given(data=st.data())
def test_norms_give_the_bits_of_the_cpu(card: Card, data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([1, 7, 16, 17, 255, 256, 257, 576, 2049, 5000]))
    x = numbers(data.draw, (3, n))
    weight, bias = numbers(data.draw, (1, n))[0], numbers(data.draw, (1, n))[0]
    equal(card.norm(False, x, weight, None, 1e-5), kernels.rms_norm(x, weight, eps=1e-5))
    equal(card.norm(True, x, weight, bias, 1e-5), kernels.layer_norm(x, weight, bias, eps=1e-5))


def test_a_norm_that_overflows_is_an_error(card: Card) -> None:
    with pytest.raises(ArithmeticError):
        card.norm(False, np.full((1, 64), 1e30, np.float32), None, None, 1e-5)


@pytest.mark.parametrize("gate", GATES)
def test_gates_give_the_bits_of_the_cpu(card: Card, gate: str) -> None:
    rng = np.random.default_rng(7)
    a = np.concatenate([np.array(EDGES, np.float32), rng.standard_normal(3000).astype(np.float32) * 8])[None]
    b = rng.standard_normal(a.shape).astype(np.float32)
    equal(card.gate(GATES.index(gate), a, b), kernels.activation(a, gate) * b)
    equal(card.gate(GATES.index(gate), a, None), kernels.activation(a, gate))


def test_the_clamped_gate_gives_the_bits_of_the_cpu(card: Card) -> None:
    rng = np.random.default_rng(9)
    x = np.array([*EDGES, 7.0, -7.0, 7.5, -7.5], np.float32)
    a, b = np.meshgrid(x, x)
    a = np.concatenate([a.ravel(), rng.standard_normal(3000).astype(np.float32) * 8])[None]
    b = np.concatenate([b.ravel(), rng.standard_normal(3000).astype(np.float32) * 8])[None]
    equal(card.gate(len(GATES), a, b), native.gated_activation("clamped_silu", a, b))


@cases
@given(data=st.data())
def test_rotation_gives_the_bits_of_the_cpu(card: Card, data: st.DataObject) -> None:
    head_dim = data.draw(st.sampled_from([2, 16, 24, 64, 80]))
    half = data.draw(st.integers(1, head_dim // 2))
    heads, rows = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    x = numbers(data.draw, (rows, heads * head_dim))
    angles = np.random.default_rng(8).uniform(-9, 9, (rows, half))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    for pairs in ("adjacent", "halves"):
        expected = rotated(pairs, cos, sin, x, head_dim)
        equal(card.rope(pairs == "adjacent", cos, sin, head_dim, x), expected)


def rotated(pairs: str, cos: Any, sin: Any, x: Any, head_dim: int) -> np.ndarray:
    """(a c - b s, a s + b c), each a product that is rounded and an fma, which float64 has room for but for ties."""
    half = cos.shape[1]
    y = x.reshape(len(x), -1, head_dim).copy()
    first = np.arange(half) * (2 if pairs == "adjacent" else 1)
    second = first + (1 if pairs == "adjacent" else half)
    a, b = y[:, :, first], y[:, :, second]
    c, s = cos[:, None], sin[:, None]
    wide = np.longdouble
    y[:, :, first] = ((a * c).astype(wide) - b.astype(wide) * s).astype(np.float32)
    y[:, :, second] = ((a * s).astype(wide) + b.astype(wide) * c).astype(np.float32)
    return y.reshape(x.shape)


@pytest.mark.parametrize("n", [1, 100, 4095, 4097, 20_000])
@pytest.mark.parametrize("spread", [0.01, 3.0, 1e30])
def test_thinned_logits_list_what_a_sampler_needs(card: Card, n: int, spread: float) -> None:
    rng = np.random.default_rng(n)
    x = (rng.standard_normal((3, n)) * spread).astype(np.float32)
    x[1] = np.round(x[1])  # ties
    x[2, rng.random(n) < 0.5] = -np.inf
    x[2, 0] = 0.0
    count, decodable, inverse = min(40, n), max(1, n - 7), np.float32(1.7)
    span = np.float32(2.5 * spread)
    make = card.module.Thinning
    hows = (make("count", decodable, count), make("span", decodable, 0, span, inverse), make("nothing", n))
    for how, of in zip(hows, ("count", "span", "nothing"), strict=True):
        for row, found in zip(x, card.thin(x, [how] * 3), strict=True):
            seen = row if of == "nothing" else row[:decodable]
            assert found["fine"]
            assert found["best"] == int(np.argmax(seen))
            assert found["max"] == seen.max()
            equal(found["fetched"], row)
            ids = [i for i, _ in found["above"]]
            assert ids == sorted(ids)
            assert all(row[i] == value for i, value in found["above"])
            if of == "count" and ids:
                likeliest = np.argsort(-seen, kind="stable")[:count]
                assert set(likeliest[seen[likeliest] > -np.inf]) <= set(ids)
            if of == "span":
                near = np.flatnonzero((seen >= seen.max() - span) & (seen > -np.inf))
                assert ids == (list(near) if len(near) <= 1024 else [])
                assert found["floor"] == (seen.max() - span if len(near) <= 1024 else np.inf)
                scaled = (seen - seen.max()) * inverse
                for chunk, (largest, total) in enumerate(found["sums"][: -(-decodable // 4096)]):
                    z = scaled[chunk * 4096 : (chunk + 1) * 4096]
                    if z.max() > -np.inf:
                        assert (largest, total) == native.max_sum_exp(z)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_thinned_row_that_is_not_finite_says_so(card: Card, bad: float) -> None:
    x = np.zeros((2, 9000), np.float32)
    x[1, 8999] = bad
    how = card.module.Thinning("nothing", 100)
    assert [row["fine"] for row in card.thin(x, [how] * 2)] == [True, False]
