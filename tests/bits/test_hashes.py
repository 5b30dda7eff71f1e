"""The bits of today are those of the commit that last meant to change them, on every instruction set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bits.make_hashes import HASHES, hash_of_file, hash_of_logits, model_of
from tests.bits.test_same_bits import FAMILIES, TYPES, isas_here

EXPECTED = json.loads(HASHES.read_text())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", TYPES)
def test_the_bits_are_those_on_record(tmp_path: Path, family: str, kind: str) -> None:
    path = model_of(tmp_path, family, kind)
    expected = EXPECTED[f"{family} {kind}"]
    assert hash_of_file(path) == expected["file"], "another model: NumPy or gguf make other numbers now"
    assert {isa: hash_of_logits(path, isa) for isa in isas_here()} == dict.fromkeys(
        isas_here(), expected["logits"]
    )
