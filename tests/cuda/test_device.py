"""device="cuda" and "auto" on machines without a card: what is missing, and how to get it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nextoken import LLM, device
from nextoken.cli.inspect import inspect_command
from nextoken.errors import DeviceUnavailableError
from tests.families.tiny import FAMILIES, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "m.gguf", FAMILIES["llama"], "Q8_0")


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(device.importlib, "import_module", absent)


def with_driver(monkeypatch: pytest.MonkeyPatch, count: Any) -> None:
    monkeypatch.setattr(device.importlib, "import_module", lambda name: SimpleNamespace(count=count))


def test_a_build_without_kernels_says_how_to_get_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_kernels(monkeypatch)
    with pytest.raises(DeviceUnavailableError, match="NEXTOKEN_CUDA=ON"):
        LLM(path, device="cuda")


def test_a_missing_driver_is_told_in_its_words(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version")

    with_driver(monkeypatch, count)
    with pytest.raises(DeviceUnavailableError, match=r"driver version is insufficient.*nvidia-smi"):
        LLM(path, device="cuda")


def test_a_driver_that_sees_no_card_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, lambda: 0)
    with pytest.raises(DeviceUnavailableError, match="CUDA_VISIBLE_DEVICES"):
        LLM(path, device="cuda")


def test_auto_takes_the_cpu_and_logs_why(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_kernels(monkeypatch)
    with caplog.at_level("INFO", "nextoken"), LLM(path, device="auto") as llm:
        assert llm.device == "cpu"
    assert "no CUDA kernels" in caplog.text


def test_another_device_is_a_value_error(path: Path) -> None:
    with pytest.raises(ValueError, match="'cpu', 'cuda', 'auto'"):
        LLM(path, device="tpu")


def test_inspect_says_what_fits_the_card(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    card = device.CardInfo("A card", (9, 0), 10_000_000, 2_000_000)
    monkeypatch.setattr(device, "card_info", lambda: card)
    inspect_command(str(path), n_ctx=128, device="cuda", as_json=True)
    memory = json.loads(capsys.readouterr().out)["memory"]
    found = memory["card"]
    assert found["fits"] == (memory["total_bytes"] <= 2_000_000)
    per_token = memory["kv_bytes_per_token"]
    assert found["most_tokens"] == (2_000_000 - memory["weight_bytes"]) // per_token
    inspect_command(str(path), n_ctx=128, device="cuda")
    assert f"2000000 of 10000000 bytes free: {memory['total_bytes']} " in capsys.readouterr().out


def test_inspect_says_why_there_is_no_card(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    without_kernels(monkeypatch)
    inspect_command(str(path), n_ctx=128, device="cuda")
    assert "card: none. this build of nextoken has no CUDA kernels" in capsys.readouterr().out


@pytest.mark.parametrize("in_one_phase", [True, False])
def test_a_kernel_that_races_is_found_out(host: Any, in_one_phase: bool) -> None:
    """Also where a barrier lacks between two phases: a thread runs to the next barrier before another begins."""
    found = [host.race(host.open(1 << 20, backwards), in_one_phase) for backwards in (False, True)]
    assert found[0] != found[1]


@pytest.mark.parametrize("shuffles", [True, False])
def test_a_kernel_that_would_hang_is_found_out(host: Any, shuffles: bool) -> None:
    with pytest.raises(RuntimeError, match="wait in different places"):
        host.leave(host.open(1 << 20), shuffles)


def test_memory_of_the_card_can_not_be_read_by_the_processor(host: Any) -> None:
    """Or the host launcher would let pass what is an illegal address on a machine with a card."""
    folder = str(Path(host.__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import _cuda_host as h; h.peek(h.open(1 << 20))"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode < 0
