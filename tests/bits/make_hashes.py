"""Writes hashes.json, the bits of every family, weight type and cache type as they are meant to stay:

    PYTHONPATH=python:. python tests/bits/make_hashes.py

Run it only when the arithmetic is changed on purpose; the difference belongs into the same commit.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from tests.bits.test_same_bits import FAMILIES, TYPES, NativeMachine, isas_here, sequences

HASHES = Path(__file__).parent / "hashes.json"


def model_of(folder: Path, family: str, kind: str) -> Path:
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
    HASHES.write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
