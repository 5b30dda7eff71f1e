"""Weights reach a card through two buffers that are filled and copied by turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.cuda.models import Shape, write
from nextoken import LLM, device
from tests.reference import assert_same_bits

SHAPE = Shape(hidden=1024, ffn=2048, layers=1, heads=4, kv_heads=2, vocab=50_000, n_ctx=64)


def test_a_model_of_several_buffers_arrives_whole(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host launcher copies a buffer when it is filled again, and spoils it then."""
    card = host.open(1 << 28)
    monkeypatch.setattr(device, "open_card", lambda: card)
    path = write(tmp_path / "m.gguf", SHAPE, "Q8_0")
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        assert cuda.nbytes == cpu.nbytes > 3 << 25  # three buffers at least
        for ids in ([1, 49_999], [20_000]):
            assert_same_bits(cuda.session().append(ids), cpu.session().append(ids))
