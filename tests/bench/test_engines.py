"""bench/peers/engines.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.peers.engines import Engine, first_token


def test_a_first_token_is_measured_with_compiled_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    program = "import sys; print(float(sys.dont_write_bytecode), 2048, 1024)"
    engine = Engine("one", lambda *_: pytest.fail("not started"), lambda *_: [sys.executable, "-c", program])
    assert first_token(engine, Path(), 1, 31) == (0.0, 2.0, 1.0)
