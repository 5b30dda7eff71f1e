"""Products with weights of bf16: an order of the card's own, the same for any number of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextoken import LLM, kernels
from tests import reference
from tests.cuda.conftest import Card
from tests.cuda.test_kernels import NUMBERS, cases, equal
from tests.cuda.test_model import logits
from tests.families.family import ids
from tests.families.tiny import FAMILIES, write
from tests.reference import assert_same_bits

BF16 = NUMBERS["bf16"]
TOKENS = [1, 2, 7, 8, 9, 16, 31, 33, 64, 127, 129, 193]


def packed(w: np.ndarray) -> Any:
    return kernels.pack(kernels.quantize(w, "bf16"), "bf16", w.shape)


def multiply(card: Card, w: Any, x: np.ndarray) -> np.ndarray:
    n, k = w.shape
    return np.asarray(card.matmul(BF16, w.panels(), n, k, x))


@cases
@given(
    n=st.integers(1, 150),
    k=st.integers(1, 1100),
    tokens=st.sampled_from(TOKENS),
    seed=st.integers(0, 2**32),
)
@example(n=1, k=1, tokens=1, seed=0)
@example(n=130, k=513, tokens=193, seed=0)
@example(n=20, k=64 * 256 + 3, tokens=2, seed=0)  # more segments than have room at once
def test_products_are_those_of_float64_and_a_token_does_not_see_others(
    card: Card, n: int, k: int, tokens: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    w = reference.round_bf16(rng.standard_normal((n, k)).astype(np.float32))
    x = rng.standard_normal((tokens, k)).astype(np.float32)
    found = multiply(card, packed(w), x)
    expected, tolerance = reference.matmul(x, w, "bf16")
    assert (np.abs(found - expected) <= tolerance).all()
    first = seed % tokens
    for few in (1, 3, 8, 12, 40):
        some = x[first : first + few]
        equal(multiply(card, packed(w), some), found[first : first + few])


@pytest.mark.parametrize("k", [1, 2, 3, 15, 17, 255, 256, 258, 600])
def test_each_k_of_each_row_is_multiplied_by_its_own(card: Card, k: int) -> None:
    """Activations that are 1 at one k and else 0 give the weights themselves."""
    w = reference.round_bf16(np.random.default_rng(k).standard_normal((37, k)).astype(np.float32))
    one = np.eye(k, dtype=np.float32)
    for tokens in (8, 128, 600):
        found = [multiply(card, packed(w), one[at : at + tokens]) for at in range(0, k, tokens)]
        equal(np.concatenate(found), np.ascontiguousarray(w.T))


@pytest.mark.parametrize("tokens", [1, 9, 130])
def test_a_segment_is_a_chain_of_sixteens_and_segments_are_added_in_order(card: Card, tokens: int) -> None:
    """As the host launcher rounds, once an mma; numbers are such that sixteen products add up exactly in float64."""
    if not hasattr(card.module, "graphs"):
        pytest.skip("how a card rounds within an mma is its own")
    rng = np.random.default_rng(tokens)
    n, k = 33, 700
    w, x = (
        (rng.integers(-128, 129, size) * np.exp2(rng.integers(-6, 1, size))).astype(np.float32)
        for size in ((n, k), (tokens, k))
    )
    expected = np.zeros((tokens, n), np.float32)
    for segment in range(0, k, 256):
        chain = np.zeros((tokens, n), np.float32)
        for at in range(segment, min(segment + 256, k), 16):
            part = slice(at, at + 16)
            products = x[:, part].astype(np.float64) @ w[:, part].T.astype(np.float64)
            chain = (chain + products).astype(np.float32)
        expected += chain
    equal(multiply(card, packed(w), x), expected)


@pytest.mark.parametrize("size", [1, 8, 32])
def test_groups_and_heads_have_the_bits_of_products_of_their_own(card: Card, size: int) -> None:
    rng = np.random.default_rng(size)
    n, k = 37, 300
    weights = [packed(rng.standard_normal((n, k)).astype(np.float32)) for _ in range(3)]
    panels = [matrix.panels() for matrix in weights]
    groups = [(2, 0, 1), (0, 0, 0), (0, 1, size), (2, 1 + size, (size + 1) // 2)]
    x = rng.standard_normal((sum(group[2] for group in groups), k)).astype(np.float32)
    found = card.matmul_groups(BF16, panels, n, k, x, groups, size)
    for matrix, first, count in groups:
        if count:
            equal(found[first : first + count], multiply(card, weights[matrix], x[first : first + count]))
    x = rng.standard_normal((size, 3, k)).astype(np.float32)
    found = np.asarray(card.head_matmul(BF16, panels, n, k, x.reshape(size, -1))).reshape(size, 3, n)
    for h in range(3):
        equal(found[:, h], multiply(card, weights[h], np.ascontiguousarray(x[:, h])))


@pytest.mark.parametrize(("name", "n"), [("llama", 140), ("qwen3moe", 50)])
def test_a_model_has_the_same_bits_however_it_is_computed(
    tmp_path: Path, forwards: Card, name: str, n: int
) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES[name], "BF16")
    tokens = ids()[:n]
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        whole = logits(cuda, [n])
        for chunks in ([n - 1, 1], [1, 1, 3, 9, n - 14]):
            assert_same_bits(logits(cuda, chunks), whole)
        sessions = [cuda.session() for _ in range(3)]
        parts = [tokens[:30], tokens[:1], tokens[:9]]
        for part, row in zip(parts, cuda.append(sessions, parts), strict=True):
            assert row is not None
            assert_same_bits(row, whole[len(part) - 1])
        # Sums that differ in their last bits may round to another bf16, 2^-8 away. A row may take another expert.
        away = np.linalg.norm(whole - logits(cpu, [n]), axis=1) / np.linalg.norm(whole, axis=1)
        assert np.median(away) < 2.0**-6
