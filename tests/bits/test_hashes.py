"""The bits of today are those of the commit that last meant to change them, on every instruction set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bits.make_hashes import HASHES, OTHER_TYPES, OTHERS, hash_of_file, hash_of_logits, model_of
from tests.bits.test_same_bits import FAMILIES, TYPES, isas_here

EXPECTED = json.loads(HASHES.read_text())


def check(path: Path, kv_dtype: str, expected: dict[str, str]) -> None:
    assert hash_of_file(path) == expected["file"], "another model: NumPy or gguf make other numbers now"
    assert {isa: hash_of_logits(path, isa, kv_dtype) for isa in isas_here()} == dict.fromkeys(
        isas_here(), expected["logits"]
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", TYPES)
def test_the_bits_are_those_on_record(tmp_path: Path, family: str, kind: str) -> None:
    check(model_of(tmp_path, family, kind), "f16", EXPECTED[f"{family} {kind}"])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kv_dtype", ["f32", "q8"])
def test_the_bits_of_other_caches_are_those_on_record(tmp_path: Path, family: str, kv_dtype: str) -> None:
    check(model_of(tmp_path, family, "F32"), kv_dtype, EXPECTED[f"{family} F32, {kv_dtype} cache"])


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.parametrize("kind", OTHER_TYPES)
@pytest.mark.parametrize("kv_dtype", ["f16", "q8"])
def test_the_bits_of_other_families_are_those_on_record(
    tmp_path: Path, family: str, kind: str, kv_dtype: str
) -> None:
    check(model_of(tmp_path, family, kind), kv_dtype, EXPECTED[f"{family} {kind}, {kv_dtype} cache"])
