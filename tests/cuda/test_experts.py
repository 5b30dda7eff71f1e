"""Experts are chosen, grouped and multiplied on the card as the CPU does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import LLM, kernels
from nextoken.errors import UnsupportedModelError
from tests.blocks import blocks_of_spread
from tests.cuda.conftest import Card
from tests.cuda.test_kernels import NUMBERS, SAME_PRODUCTS, cases, equal
from tests.cuda.test_model import same_on_both
from tests.families.family import N_LAYERS, Family
from tests.families.folders import on_disk, write_folder
from tests.families.tiny import FAMILIES, gguf_tensors, write
from tests.gguf_files import encode
from tests.gguf_pieces import Tensor
from tests.hf_folders import as_dtype, write_weights
from tests.kernels.test_matmul import random_weights
from tests.kernels.test_quantize import TYPES


def routes(
    scores: np.ndarray,
    n_used: int,
    sigmoid: bool,
    normalized: bool,
    groups: tuple[int, int],
    scale: float,
    bias: Any,
) -> tuple[list[int], np.ndarray]:
    """As CpuKernels::route, in float32, with the CPU's softmax."""
    experts, weights = [], []
    for row in scores:
        pairs = np.stack([row, np.zeros_like(row)], 1)
        p = kernels.softmax(pairs)[:, 0] if sigmoid else kernels.softmax(row[None])[0]
        choice = p + bias if bias is not None else p.copy()
        if sigmoid and bias is None and groups[1] == groups[0]:
            choice = row.copy()
        if groups[1] < groups[0]:
            parts = choice.reshape(groups[0], -1)
            best = -np.sort(-parts, axis=1)
            second = best[:, 1] if best.shape[1] > 1 else np.float32(-np.inf)
            of_groups = best[:, 0] + second if sigmoid else best[:, 0]
            others = np.argsort(-of_groups, kind="stable")[groups[1] :]
            parts[others[of_groups[others] > -np.inf]] = -np.inf
        chosen = np.argsort(-choice, kind="stable")[:n_used]
        total = np.float32(0)
        for e in chosen:
            total += p[e]
        of_row = p[chosen] / (total + np.float32(1e-20)) if normalized else p[chosen]
        experts += list(chosen)
        weights.append(of_row * np.float32(scale))
    return experts, np.concatenate(weights)


@cases
@given(data=st.data())
def test_routes_are_those_of_the_cpu(card: Card, data: st.DataObject) -> None:
    n_groups = data.draw(st.sampled_from([1, 2, 4]))
    n_groups_used = data.draw(st.integers(1, n_groups))
    size = data.draw(st.sampled_from([1, 2, 3, 15, 16, 32, 65, 1030]))
    n_used = data.draw(st.integers(1, min(8, size * n_groups_used)))
    sigmoid, normalized, biased = (data.draw(st.booleans()) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    scores = (rng.standard_normal((3, n_groups * size)) * 3).astype(np.float32)
    if data.draw(st.booleans()):
        scores = np.round(scores)  # ties
    bias = rng.standard_normal(n_groups * size).astype(np.float32) if biased else None
    scale = data.draw(st.sampled_from([1.0, 2.5]))
    groups = (n_groups, n_groups_used)
    experts, weights = card.route(scores, n_used, sigmoid, normalized, *groups, scale, bias)
    expected = routes(scores, n_used, sigmoid, normalized, groups, scale, bias)
    assert experts == expected[0]
    equal(np.array(weights, np.float32), expected[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_an_error(card: Card, bad: float) -> None:
    scores = np.zeros((2, 5), np.float32)
    scores[1, 4] = bad
    with pytest.raises(ArithmeticError):
        card.route(scores, 2, False, True, 1, 1, 1.0, None)


@cases
@given(data=st.data())
def test_rows_are_grouped_by_expert_in_their_order(card: Card, data: st.DataObject) -> None:
    n_experts = data.draw(st.sampled_from([1, 3, 60, 256, 300]))
    n_used, rows = data.draw(st.integers(1, min(4, n_experts))), data.draw(st.integers(1, 70))
    size = data.draw(st.sampled_from([1, 8, 32]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    experts = np.stack([rng.permutation(n_experts)[:n_used] for _ in range(rows)]).astype(np.int32)
    places, of_place, expert_of, groups = card.group(experts, n_experts, size)
    order = np.argsort(experts.ravel(), kind="stable")
    assert list(order) == [places.index(i) for i in range(rows * n_used)]
    assert of_place == list(order // n_used)
    assert expert_of == list(experts.ravel()[order])
    covered = [(first + i, expert) for expert, first, n in groups for i in range(n)]
    assert covered == list(enumerate(expert_of))
    assert all(n <= size for _, _, n in groups)
    assert len(groups) == min(rows * n_used, n_experts + rows * n_used // size)


SIZES = [
    (weight_type, size)
    for weight_type in SAME_PRODUCTS
    for size in (1, 8, 32)
    if size < 32 or weight_type not in ("f32", "f16")  # which are not multiplied as tiles
]


@pytest.mark.parametrize(("weight_type", "size"), SIZES)
def test_groups_are_multiplied_by_matrices_of_their_own(card: Card, weight_type: str, size: int) -> None:
    rng = np.random.default_rng(size)
    block = TYPES[weight_type][0]
    n, k = 37, max(block, 2 * 64)
    packed = [kernels.pack(random_weights(weight_type, n, k, rng), weight_type, (n, k)) for _ in range(3)]
    groups = [(2, 0, 1), (0, 0, 0), (0, 1, size), (2, 1 + size, (size + 1) // 2)]
    rows = sum(group[2] for group in groups)
    x = rng.standard_normal((rows, k)).astype(np.float32)
    panels = [matrix.panels() for matrix in packed]
    found = card.matmul_groups(NUMBERS[weight_type], panels, n, k, x, groups, size)
    for matrix, first, count in groups:
        if count:
            span = slice(first, first + count)
            equal(found[span], kernels.matmul(x[span], packed[matrix]))


def test_experts_of_different_types_are_refused_by_name(tmp_path: Path, forwards: Card) -> None:
    """On the CPU too: they would multiply activations of a form that nobody made."""
    family = FAMILIES["qwen3moe"]
    folder = write_folder(tmp_path / "m", family)
    tensors = {name: value.astype(np.float32) for name, value in on_disk(family).items()}
    for name in [name for name in tensors if "layers.1.mlp.experts.2." in name]:
        tensors[name] = as_dtype(tensors[name], "BF16")
    write_weights(folder, tensors)
    for where in ("cpu", "cuda"):
        with pytest.raises(UnsupportedModelError, match="experts 0 and 2 of layer 1 .* F32 and BF16"):
            LLM(folder, device=where)


# Of gate, up and down of the experts, then of the shared expert, a layer each: as Q4_K_M and IQ2_M mix types, and such
# that what gate and up, or an expert and the router multiply, are forms of their own.
MIXES = [
    ("Q4_K", "Q4_K", "Q6_K", "Q8_0", "Q8_0", "Q8_0"),
    ("IQ2_XXS", "IQ3_S", "Q4_K", "Q6_K", "Q5_K", "Q5_1"),
    ("Q4_0", "Q5_K", "F32", "F16", "Q4_K", "Q6_K"),
    ("F16", "F32", "IQ4_NL", "F32", "Q8_0", "Q4_K"),
]


def sized(name: str) -> Family:
    """With a shape that weights in blocks of 256 fit."""
    family = FAMILIES[name]
    sizes = {
        key: 256 for key in (*family.config, "hidden_size", "intermediate_size") if key.endswith("_size")
    }
    keys = {key: 256 for key in family.keys if key.endswith("length")}
    return replace(family, config=family.config | sizes | {"num_attention_heads": 4}, keys=family.keys | keys)


def as_type(values: np.ndarray, kind: str, seed: int) -> Tensor:
    """Floats as they are, in other types others of their spread."""
    if kind in ("F32", "F16", "BF16"):
        return encode(values, kind), kind, values.shape[::-1]
    return blocks_of_spread(kind.lower(), values.size, float(values.std()), seed), kind, values.shape[::-1]


@pytest.mark.parametrize("router", ["F32", "Q8_0"])
def test_a_mixture_of_weight_types_gives_the_bits_of_the_cpu(
    tmp_path: Path, forwards: Card, router: str
) -> None:
    family = sized("qwen2moe")
    tensors, others = gguf_tensors(family), {}
    for layer, mix in enumerate(MIXES):
        parts = [f"{part}_{whose}" for whose in ("exps", "shexp") for part in ("gate", "up", "down")]
        for i, (part, kind) in enumerate(zip((*parts, "gate_inp"), (*mix, router), strict=True)):
            name = f"blk.{layer}.ffn_{part}.weight"
            others[name] = as_type(tensors[name], kind, 10 * layer + i)
    same_on_both(write(tmp_path / "m.gguf", family, "Q8_0", others), [258, 1, 2])


def test_experts_of_several_types_give_the_bits_of_the_cpu(tmp_path: Path, forwards: Card) -> None:
    """As files of January 2024 have them: every third matrix had more bits, and an expert a tensor of its own."""
    family = sized("mixtral")
    tensors, n = gguf_tensors(family), 0
    others: dict[str, Tensor | None] = {}
    for layer in range(N_LAYERS):
        for part, more in (("gate", "Q4_K"), ("up", "Q5_K"), ("down", "Q6_K")):
            of_all = f"blk.{layer}.ffn_{part}_exps.weight"
            others[of_all] = None
            for e, values in enumerate(tensors[of_all]):
                n += 1
                kind = more if n % 3 == 0 else "Q4_K"
                others[f"blk.{layer}.ffn_{part}.{e}.weight"] = as_type(values, kind, n)
    same_on_both(write(tmp_path / "m.gguf", family, "Q8_0", others), [258, 1, 2])
