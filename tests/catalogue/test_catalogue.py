"""Names to files: what the catalogue holds, where a file is looked for, and a file that the user points to."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from pathlib import Path

import pytest

from nextoken.checkpoints import catalogue
from nextoken.checkpoints.catalogue import CATALOGUE, Entry
from nextoken.errors import Cancelled, Error, ModelFormatError, ModelTruncatedError

CONTENT = b"not a model, but ours" * 1000


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A small model in the catalogue, and an empty cache."""
    small = dataclasses.replace(
        CATALOGUE["smollm2-135m"],
        name="tiny",
        filename="tiny.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        variable="NEXTOKEN_TINY",
    )
    monkeypatch.setitem(CATALOGUE, "tiny", small)
    monkeypatch.setenv("NEXTOKEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEXTOKEN_TINY", raising=False)
    return small


@pytest.mark.parametrize("name", CATALOGUE)
def test_entries_are_consistent(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.name == name
    assert sum(part.size for part in entry.parts) == entry.size
    assert len(bytes.fromhex(entry.sha256)) == 32
    assert all("==" in part.requirement for part in entry.parts)
    assert entry.license
    assert catalogue.is_name(name)


@pytest.mark.parametrize(
    "text", ["", "model.gguf", "./smollm2-135m", "SMOLLM2-135M", "smollm2-135m/", "../x"]
)
def test_only_exact_names_are_names(text: str) -> None:
    assert not catalogue.is_name(text)


def test_a_file_in_the_cache_is_found_and_not_downloaded(entry: Entry) -> None:
    assert catalogue.local_path("tiny") is None
    path = catalogue.cached_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert catalogue.local_path("tiny") == path
    assert catalogue.fetch("tiny") == path


def test_a_file_of_another_size_in_the_cache_does_not_count(entry: Entry) -> None:
    path = catalogue.cached_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    assert catalogue.local_path("tiny") is None


def test_cache_is_where_the_variables_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("NEXTOKEN_CACHE", str(tmp_path / "ours"))
    assert catalogue.cache_dir() == tmp_path / "ours"
    monkeypatch.setenv("NEXTOKEN_CACHE", "")
    assert catalogue.cache_dir() == tmp_path / "xdg" / "nextoken"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert catalogue.cache_dir() == tmp_path / "home" / ".cache" / "nextoken"


def test_without_a_home_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NEXTOKEN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(FileNotFoundError, match="NEXTOKEN_CACHE"):
        catalogue.cache_dir()


def test_a_pointed_file_is_used_when_it_is_the_right_one(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(CONTENT)
    monkeypatch.setenv(entry.variable, str(path))
    assert catalogue.local_path("tiny") == path
    assert catalogue.fetch("tiny") == path
    assert not catalogue.cache_dir().exists()


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (CONTENT[:-1], ModelTruncatedError, "20999 bytes, expected 21000"),
        (CONTENT + b"x", ModelFormatError, "21001 bytes, expected 21000"),
        (b"N" + CONTENT[1:], ModelFormatError, "SHA-256"),
    ],
    ids=["short", "long", "other bytes"],
)
def test_a_pointed_file_that_is_another_one_is_refused(
    entry: Entry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    error: type[Error],
    says: str,
) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(content)
    monkeypatch.setenv(entry.variable, str(path))
    with pytest.raises(error, match=says) as caught:
        catalogue.fetch("tiny")
    assert type(caught.value) is error
    assert "NEXTOKEN_TINY" in str(caught.value)


def test_a_pointed_file_that_is_missing_is_named(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(entry.variable, "/nowhere/mine.gguf")
    assert catalogue.local_path("tiny") is None
    with pytest.raises(FileNotFoundError, match="NEXTOKEN_TINY") as caught:
        catalogue.fetch("tiny")
    assert caught.value.filename == "/nowhere/mine.gguf"


def test_checking_a_pointed_file_can_be_cancelled(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(CONTENT)
    monkeypatch.setenv(entry.variable, str(path))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        catalogue.fetch("tiny", cancel=cancel)


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        catalogue.fetch("gpt-5")
