"""Tiny models, opened once for all tests that do not close them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nextoken import LLM
from tests.gguf_files import tiny_llama


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("api") / "tiny.gguf", "Q8_0")


@pytest.fixture(scope="session")
def llm(tiny_path: Path) -> Iterator[LLM]:
    with LLM(tiny_path) as llm:
        yield llm


@pytest.fixture
def own(tiny_path: Path) -> Iterator[LLM]:
    """One that the test may close or break."""
    with LLM(tiny_path) as llm:
        yield llm
