"""What `make test-cuda` and `make bench-cuda` run on a machine with a card, run by the host launcher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cuda import __main__ as bench
from bench.cuda.models import SHAPES, Shape, random_blocks, share_of_a_step, write
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


SMALL_MIXTURE = Shape(256, 256, 2, 4, 2, 320, 1024, experts=6, used=3, head_dim=128)


@pytest.mark.parametrize("shape", [SHAPES["tiny"], SMALL_MIXTURE], ids=["dense", "mixture"])
def test_measure_measures(
    tmp_path: Path, forwards: Card, monkeypatch: pytest.MonkeyPatch, shape: Shape
) -> None:
    monkeypatch.setattr(device, "extension", lambda: forwards.module)
    for name, few in (("PROMPT", 40), ("DECODED", 2), ("SESSIONS", 2)):
        monkeypatch.setattr(bench, name, few)
    bandwidth = device.copy_bandwidth(1 << 20, 2)
    path = write(tmp_path / "m.gguf", shape, "Q8_0")
    figures = bench.measure(path, "Q8_0", shape, bandwidth)
    assert [figure["what"] for figure in figures] == [
        "load",
        "decode",
        "prefill of 40",
        "2 sessions, decode",
    ]
    assert all(value > 0 for figure in figures for value in figure.values() if not isinstance(value, str))


def test_a_token_reads_its_experts_alone() -> None:
    hidden, vocab = 256, 320
    attention = 2 * hidden * 4 * 128 + 2 * hidden * 2 * 128
    expert, floats = 3 * hidden * 256, 4 * (2 * 2 * hidden + hidden + 2 * hidden * 6)
    q8_0 = [vocab * hidden + 2 * (attention + n * expert) for n in (3, 6)]
    read, everything = (n / 32 * 34 + floats for n in (q8_0[0], q8_0[1] + vocab * hidden))
    assert share_of_a_step(SMALL_MIXTURE, "Q8_0") == pytest.approx(read / everything, rel=1e-12)
