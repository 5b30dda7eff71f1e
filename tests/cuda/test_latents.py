"""Attention to latents gives the bits of the CPU's: kernel by kernel, and in models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextoken import LLM, device, kernels
from tests.cuda.conftest import CARD_BYTES, Card
from tests.cuda.test_attention import KV_NUMBERS
from tests.cuda.test_kernels import NUMBERS, SAME_PRODUCTS, cases, equal, numbers
from tests.families import latent
from tests.families.family import ids
from tests.kernels.test_matmul import random_weights
from tests.kernels.test_quantize import TYPES
from tests.reference import assert_same_bits


def rounded(part: np.ndarray) -> np.ndarray:
    """Codes of eight bits times their scale, as the cache keeps them."""
    most = np.abs(part).max(axis=-1, keepdims=True)
    return np.rint(part * (np.float32(127) / most)).astype(np.float32) * (most / np.float32(127))


@pytest.mark.parametrize("kv_dtype", sorted(KV_NUMBERS))
@cases
@given(
    rank=st.integers(1, 70),
    n_rot=st.sampled_from([2, 4, 16, 30]),
    n_q=st.integers(1, 9),
    before=st.integers(0, 330),
    heads=st.integers(1, 19),
    seed=st.integers(0, 2**32 - 1),
)
@example(512, 64, 2, 300, 3, 0)
@example(16, 4, 2, 270, 33, 0)
def test_attention_to_latents_gives_the_bits_of_the_cpu(
    card: Card, kv_dtype: str, rank: int, n_rot: int, n_q: int, before: int, heads: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    d = rank + n_rot
    q = rng.standard_normal((n_q, heads, d)).astype(np.float32)
    keys = rng.standard_normal((n_q + before, 1, d)).astype(np.float32)
    seen = keys
    if kv_dtype == "q8":
        seen = np.concatenate([rounded(keys[..., :rank]), rounded(keys[..., rank:])], axis=-1)
    values = seen.copy()
    values[..., rank:] = 0
    scale = float(np.float32(1 / np.sqrt(d)))
    plain = "f32" if kv_dtype == "q8" else kv_dtype
    expected = kernels.attention(q, seen, values, scale=scale, kv_dtype=plain)[..., :rank]
    found = card.attention(q, keys, keys, KV_NUMBERS[kv_dtype], 0, scale, 0.0, None, None, rank)
    assert_same_bits(found, np.ascontiguousarray(expected))


@cases
@given(data=st.data())
def test_matrices_of_heads_give_the_bits_of_the_cpu(card: Card, data: st.DataObject) -> None:
    weight_type = data.draw(st.sampled_from(SAME_PRODUCTS))
    block = TYPES[weight_type][0]
    k = (
        data.draw(st.integers(1, 2 if block == 256 else 4)) * block
        if block > 1
        else data.draw(st.integers(1, 90))
    )
    n, heads, rest = (
        data.draw(st.integers(1, 40)),
        data.draw(st.integers(1, 4)),
        data.draw(st.sampled_from([0, 3, 16])),
    )
    rows = data.draw(st.sampled_from([1, 2, 9, 33, 65]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    packed = [kernels.pack(random_weights(weight_type, n, k, rng), weight_type, (n, k)) for _ in range(heads)]
    x = numbers(data.draw, (rows, heads, k + rest))
    found = card.head_matmul(NUMBERS[weight_type], [m.panels() for m in packed], n, k, x.reshape(rows, -1))
    found = found.reshape(rows, heads, n + rest)
    for h in range(heads):
        equal(found[:, h, :n], kernels.matmul(np.ascontiguousarray(x[:, h, :k]), packed[h]))
    equal(found[:, :, n:], x[:, :, k:])


def logits(llm: LLM, chunks: list[int]) -> np.ndarray:
    session, tokens, rows = llm.session(), ids(), []
    for n in chunks:
        rows.append(session.append(tokens[:n], logits="all"))
        tokens = tokens[n:]
    return np.concatenate(rows)


@pytest.mark.parametrize("name", [name for name, case in latent.CASES.items() if case.in_file])
def test_every_family_with_latents_gives_the_bits_of_the_cpu(
    tmp_path: Path, forwards: Card, name: str
) -> None:
    path = tmp_path / "m.gguf"
    latent.write_file(path, latent.CASES[name])
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        assert_same_bits(logits(cuda, [258, 1, 2]), logits(cpu, [261]))


@pytest.mark.parametrize("kv_dtype", ["f32", "q8"])
def test_latents_of_every_cache_type_give_the_bits_of_the_cpu(
    tmp_path: Path, card_as_cuda: Card, kv_dtype: Any
) -> None:
    path = tmp_path / "m.gguf"
    latent.write_file(path, next(iter(latent.CASES.values())))
    with LLM(path, kv_dtype=kv_dtype) as cpu, LLM(path, device="cuda", kv_dtype=kv_dtype) as cuda:
        assert_same_bits(logits(cuda, [70, 1, 2]), logits(cpu, [73]))
        sessions = [llm.session() for llm in (cpu, cuda)]
        for session in sessions:
            session.append(ids()[:70], logits="none")
        assert_same_bits(*(session.keys(0) for session in sessions))


def test_a_step_over_latents_is_one_graph(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = host.open(CARD_BYTES)
    monkeypatch.setattr(device, "open_card", lambda: card)
    path = tmp_path / "m.gguf"
    latent.write_file(path, next(iter(latent.CASES.values())))
    tokens = ids()[:8]
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        expected, session = cpu.session().append(tokens, logits="all"), cuda.session()
        session.append(tokens[:3], logits="none")
        for i in range(3, 8):
            assert_same_bits(session.append([tokens[i]]), expected[i])
    found = host.graphs(card)
    assert (found["made"], found["launches"]) == (1, 5)
