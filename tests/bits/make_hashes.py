"""Writes hashes.json, the bits of every family, weight type and cache type as they are meant to stay:

    PYTHONPATH=python:. python tests/bits/make_hashes.py

Run it only when the arithmetic is changed on purpose; the difference belongs into the same commit.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from pathlib import Path

from tests.bits.test_same_bits import FAMILIES, TYPES, NativeMachine, isas_here, sequences
from tests.families import latent, tiny
from tests.families.cases import CASES, write_file

HASHES = Path(__file__).parent / "hashes.json"


# Of families by their parts: what is new in their arithmetic, in two weight types.
OTHERS = ("gpt2", "gptj", "falcon-40b", "mpt", "command-r-plus", "nemotron")
OTHERS += ("deepseek-v2-lite", "deepseek-v3", "minicpm3", "llama4")
OTHERS += ("gemma2", "olmo2", "granitemoe", "gpt-oss")
OTHER_TYPES = ("F32", "Q8_0")


def model_of(folder: Path, family: str, kind: str) -> Path:
    if family in latent.CASES:
        return latent.write_file(folder / f"{family}-{kind}.gguf", latent.CASES[family], kind)
    if family in tiny.FAMILIES and family in OTHERS:
        return tiny.write(folder / f"{family}-{kind}.gguf", tiny.FAMILIES[family], kind)
    if family in OTHERS:
        return write_file(folder / f"{family}-{kind}.gguf", CASES[family], kind)
    return FAMILIES[family](folder / f"{family}-{kind}.gguf", kind)


def hash_of_file(path: Path) -> str:
    """Of the model itself: random numbers and quantisers come from other packages."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_of_logits(path: Path, isa: str, kv_dtype: str = "f16") -> str:
    """sha256 of the float32 logits (40, V) of 40 ids behind an empty cache."""
    machine = NativeMachine(path, 2, isa, kv_dtype)
    (logits,) = machine.append([machine.new()], sequences(machine.model.spec.vocab_size, (40,)))
    return hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()


def main() -> None:
    hashes = {}
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            for kind in TYPES:
                path = model_of(Path(folder), family, kind)
                hashes[f"{family} {kind}"] = {
                    "file": hash_of_file(path),
                    "logits": hash_of_logits(path, isas_here()[0]),
                }
            for kv_dtype in ("f32", "q8"):
                path = model_of(Path(folder), family, "F32")
                hashes[f"{family} F32, {kv_dtype} cache"] = {
                    "file": hash_of_file(path),
                    "logits": hash_of_logits(path, isas_here()[0], kv_dtype),
                }
        for family in OTHERS:
            for kind, kv_dtype in itertools.product(OTHER_TYPES, ("f16", "q8")):
                path = model_of(Path(folder), family, kind)
                hashes[f"{family} {kind}, {kv_dtype} cache"] = {
                    "file": hash_of_file(path),
                    "logits": hash_of_logits(path, isas_here()[0], kv_dtype),
                }
    HASHES.write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
