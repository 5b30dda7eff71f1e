"""The promise on the real models: cache, chunks, batch, threads, instruction set, fork and rewind change no bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nextoken import _native
from tests.bits.matrix import assert_same_bits, few_ways
from tests.bits.test_same_bits import NativeMachine, check_model, isas_here, sequences

pytestmark = pytest.mark.models


def test_smollm2(smollm2_path: Path) -> None:
    check_model(smollm2_path, few_ways(isas_here()), (71, 1, 18))


@pytest.mark.slow
def test_gemma3(gemma3_path: Path) -> None:
    check_model(gemma3_path, few_ways(isas_here()), (71, 1, 18))


def test_gemma3_past_its_window(gemma3_path: Path) -> None:
    """600 tokens, where layers that see 512 have let go of the first; and back to before, and on again."""
    fast = isas_here()[-1]
    (ids,) = sequences(262144, (600,))

    def last_row(n_threads: int, isa: str, chunk: int, rewind: int = 0) -> np.ndarray:
        machine = NativeMachine(gemma3_path, n_threads, isa, "f16")
        state = machine.new(1024)
        for start in range(0, len(ids), chunk):
            (row,) = _native.append(machine.model, [state], [ids[start : start + chunk]], "last")
        if rewind:
            machine.rewind(state, rewind)
            (row,) = _native.append(machine.model, [state], [ids[-rewind:]], "last")
        assert row is not None
        return row[None, :]

    expected = last_row(1, fast, 600)
    for way in (
        (2, fast, 64),
        (3, fast, 7),
        (2, isas_here()[1 % len(isas_here())], 600),
        (2, fast, 600, 300),
    ):
        assert_same_bits(last_row(*way), expected, way)
