"""Where the CUDA kernels run in these tests: by the host launcher, and on a card where there is one.

NEXTOKEN_CUDA_HOST=build/cuda_host pytest tests/cuda    the folder of the extension, which `make cuda-host` builds
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nextoken import device

ROOT = Path(__file__).parent.parent.parent
CARD_BYTES = 1 << 30


def _extension() -> Any | None:
    given = os.environ.get("NEXTOKEN_CUDA_HOST")
    folders = [Path(given)] if given else [ROOT / "build" / "cuda_host", ROOT / "build"]
    found = [path for folder in folders for path in folder.glob("_cuda_host*.so")]
    if not found:
        return None
    newest = max(found, key=lambda path: path.stat().st_mtime)
    spec = importlib.util.spec_from_file_location("_cuda_host", newest)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Card:
    """A device and the functions of its module, on it."""

    def __init__(self, module: Any, handle: Any) -> None:
        self.module, self.handle = module, handle

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self.module, name)
        return lambda *args: function(self.handle, *args)


@pytest.fixture(scope="session")
def host() -> Any:
    """The module of the host launcher."""
    module = _extension()
    if module is None:
        pytest.skip("the host launcher is not built: make cuda-host")
    return module


CARDS = ["forwards", "backwards"] if device.why_not() else ["forwards", "backwards", "card"]


@pytest.fixture(scope="session", params=CARDS)
def card(request: pytest.FixtureRequest) -> Card:
    """Forwards and backwards: threads of the host launcher in either order. A kernel that races gives other bits."""
    if request.param == "card":
        module = device.extension()
        return Card(module, module.open(0))
    module = request.getfixturevalue("host")
    return Card(module, module.open(CARD_BYTES, request.param == "backwards"))


@pytest.fixture
def card_as_cuda(card: Card, monkeypatch: pytest.MonkeyPatch) -> Card:
    """device="cuda" is that card."""
    monkeypatch.setattr(device, "open_card", lambda: card.handle)
    return card


@pytest.fixture
def forwards(host: Any, monkeypatch: pytest.MonkeyPatch) -> Card:
    """device="cuda" is the host launcher, unless there is a card."""
    module = host if device.why_not() else device.extension()
    card = Card(module, host.open(CARD_BYTES) if device.why_not() else module.open(device.INDEX))
    monkeypatch.setattr(device, "open_card", lambda: card.handle)
    return card
