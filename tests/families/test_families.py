"""Every family: against the float64 textbook, against transformers, and the same bits however computed."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from nextoken.architectures import supported
from tests.bits.test_same_bits import check_model, few_ways, isas_here
from tests.families import latent, reference
from tests.families.cases import CASES
from tests.families.family import ids, weights
from tests.families.make_reference import REFERENCE, STEP
from tests.families.tiny import FAMILIES, gguf_name, split_experts, write
from tests.model.test_forward import load

TRANSFORMERS = np.load(REFERENCE)


@functools.cache
def expected(name: str) -> np.ndarray:
    return reference.logits(FAMILIES[name], weights(FAMILIES[name]), ids())


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_meet_the_textbook_and_transformers(tmp_path: Path, name: str) -> None:
    from nextoken import _native

    model = load(write(tmp_path / "m.gguf", FAMILIES[name]))
    cache = _native.Cache(model, "f32", 512)
    (actual,) = _native.append(model, [cache], [ids()], "all")
    largest = np.abs(expected(name)).max()
    assert np.std(expected(name)) > 0.05 * largest
    # Float32 through four layers, against float64, and against float32 in another order of sums.
    assert np.abs(actual - expected(name)).max() <= 2e-5 * largest
    assert np.abs(actual[::STEP] - TRANSFORMERS[name]).max() <= 1e-4 * largest


@pytest.mark.parametrize("name", FAMILIES)
def test_every_way_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES[name], "Q8_0")
    check_model(path, few_ways(isas_here()), (71, 1, 18))


@pytest.mark.parametrize("name", FAMILIES)
def test_tensors_are_named_as_the_gguf_package_names_them(name: str) -> None:
    import gguf

    family = FAMILIES[name]
    arch = next(a for a, text in gguf.MODEL_ARCH_NAMES.items() if text == family.architecture)
    names = gguf.get_tensor_name_map(arch, family.hf["num_hidden_layers"])
    ours = split_experts(weights(family))
    for weight in ours:
        # Granite's folders have two names that transformers has not.
        on_disk = weight.replace("moe.router.", "moe.router.layer.").replace(
            "block_sparse_moe.experts", "mlp.experts"
        )
        if "shared_mlp" in weight:
            continue  # two of its three are in one tensor there
        stem, _, end = on_disk.rpartition(".")
        assert f"{names.get_name(stem)}.{end}" == gguf_name(weight, family)


def test_every_architecture_has_a_tiny_model() -> None:
    tiny = [*FAMILIES.values(), *CASES.values(), *latent.CASES.values()]
    assert {family.architecture for family in tiny} == set(supported())
