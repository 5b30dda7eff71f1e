"""Files with wrong bits in them, loaded whole: rows B20 and B21. An error or a model that runs, never a signal."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from nextoken import LLM, Error, NumericalError
from nextoken.checkpoints.gguf import open_gguf
from tests.gguf_files import TYPES, tiny_llama

IDS = [3, 14, 15, 92, 65]


def logits(path: Path, **options: bool) -> np.ndarray:
    """Of a pass; options of LLM."""
    with LLM(path, n_threads=1, **options) as llm:  # type: ignore[arg-type]
        return np.asarray(llm([IDS]))


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_of_the_header_is_an_error_or_a_model_that_runs(tmp_path: Path, seed: int) -> None:
    path = tiny_llama(tmp_path / "m.gguf", "Q8_0", n_layers=1)
    data = bytearray(path.read_bytes())
    with open_gguf(path) as checkpoint:
        end = min(4096, checkpoint.native.data_offset)
    ran = refused = 0
    for bit in np.random.default_rng(seed).integers(0, 8 * end, 150).tolist():
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            assert np.isfinite(logits(path)).all()
            ran += 1
        except Error:
            refused += 1
        data[bit // 8] ^= 1 << bit % 8
    assert ran > 0
    assert refused > 0


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("fill", ["ones", "random"])
def test_weights_of_any_bytes_are_an_error_or_numbers(tmp_path: Path, kind: str, fill: str) -> None:
    path = tiny_llama(tmp_path / "m.gguf", kind)
    with open_gguf(path) as checkpoint:
        tensors = list(checkpoint.tensors.values())
    rng = np.random.default_rng(0)
    with path.open("r+b") as file:
        for tensor in tensors:
            if len(tensor.shape) == 2:
                file.seek(tensor.offset)
                file.write(b"\xff" * tensor.nbytes if fill == "ones" else rng.bytes(tensor.nbytes))
    # Some scale among so many is not finite.
    with pytest.raises(NumericalError, match="weight"):
        logits(path)
    with contextlib.suppress(NumericalError):
        assert np.isfinite(logits(path, check=False)).all()
