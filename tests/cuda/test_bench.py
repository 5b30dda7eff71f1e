"""What `make test-cuda` and `make bench-cuda` run on a machine with a card, run by the host launcher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cuda import __main__ as bench
from bench.cuda.models import SHAPES, random_blocks, write
from nextoken import device, kernels
from tests.cuda.conftest import Card
from tests.gguf_pieces import TYPES


@pytest.mark.parametrize("kind", list(TYPES))
def test_check_finds_the_bits_that_are_promised(forwards: Card, kind: str) -> None:
    assert bench.check([kind], SHAPES["tiny"], 12) == 0


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K", "BF16"])
def test_check_finds_the_bits_that_are_promised_in_a_mixture_of_experts(forwards: Card, kind: str) -> None:
    assert bench.check([kind], SHAPES["mixture"], 40) == 0


@pytest.mark.parametrize("kind", list(TYPES))
def test_weights_of_every_type_are_of_the_spread_that_is_asked_for(kind: str) -> None:
    values = kernels.dequantize(
        random_blocks(kind, 0.1, np.random.default_rng(0))[: TYPES[kind][2] * 4096], kind.lower()
    )
    assert 0.02 < values.std() < 0.3
    assert abs(values.mean()) < 0.1


def test_measure_measures(tmp_path: Path, forwards: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "extension", lambda: forwards.module)
    for name, few in (("PROMPT", 40), ("DECODED", 2), ("SESSIONS", 2)):
        monkeypatch.setattr(bench, name, few)
    bandwidth = device.copy_bandwidth(1 << 20, 2)
    path = write(tmp_path / "m.gguf", SHAPES["tiny"], "Q8_0")
    figures = bench.measure(path, "Q8_0", SHAPES["tiny"], bandwidth)
    assert [figure["what"] for figure in figures] == [
        "load",
        "decode",
        "prefill of 40",
        "2 sessions, decode",
    ]
    assert all(value > 0 for figure in figures for value in figure.values() if not isinstance(value, str))
