"""Files that are no regular files, and names that are no names: rows A23 and A24; files that change: rows H1, H3."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nextoken.checkpoints.gguf import open_gguf
from nextoken.errors import ClosedError, ModelFormatError, ModelTruncatedError
from tests import gguf_files as g


def n_descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"))


def test_a23_directory(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        open_gguf(tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_a23_fifo_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFormatError, match="is a FIFO, not a regular file"):
        open_gguf(tmp_path / "fifo")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/null"])
def test_a23_devices_are_not_read(device: str) -> None:
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    with pytest.raises(ModelFormatError, match="is a device") as caught:
        open_gguf(device)
    assert caught.value.path == device


def test_a23_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is at most about 100 bytes long
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("socket")
        with pytest.raises((OSError, ModelFormatError)):
            open_gguf("socket")


def test_a23_symlinks(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop") as caught:
        open_gguf(tmp_path / "loop")
    assert caught.value.errno == errno.ELOOP
    g.tiny_llama(tmp_path / "m.gguf")
    (tmp_path / "link").symlink_to("m.gguf")
    assert open_gguf(tmp_path / "link").architecture == "llama"


def test_a24_missing_file_and_long_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        open_gguf(tmp_path / "none.gguf")
    assert caught.value.filename == str(tmp_path / "none.gguf")
    with pytest.raises(OSError, match="x") as long:
        open_gguf("x" * 5000)
    assert long.value.errno == errno.ENAMETOOLONG


def test_a24_nul_in_the_path() -> None:
    for path in ("a\0b", b"a\0b"):
        with pytest.raises(ValueError, match="null"):
            open_gguf(path)


def test_a24_what_is_no_path() -> None:
    for value in (None, 3, 1.5, ["a"]):
        with pytest.raises(TypeError):
            open_gguf(value)


def test_a24_no_permission(tmp_path: Path) -> None:
    path = g.tiny_llama(tmp_path / "m.gguf")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == path.owner() and len(folder.parts) > 2:
            folder.chmod(0o755)
    code = (
        "import os, sys\nfrom nextoken.checkpoints.gguf import open_gguf\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: open_gguf(sys.argv[1])\n"
        "except PermissionError as e: sys.exit(0 if e.filename == sys.argv[1] else 3)\n"
        "sys.exit(4)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        ).returncode
        == 0
    )


def test_a24_any_kind_of_path(tmp_path: Path) -> None:
    strange = os.fsencode(tmp_path) + b"/caf\xe9-\xff.gguf"
    g.tiny_llama(tmp_path / "m.gguf").rename(os.fsdecode(strange))
    for path in (strange, os.fsdecode(strange), Path(os.fsdecode(strange))):
        checkpoint = open_gguf(path)
        assert checkpoint.path == os.fsdecode(strange)
        assert checkpoint.architecture == "llama"
    with open(strange, "r+b") as file:
        file.write(b"XXXX")
    with pytest.raises(ModelFormatError) as caught:
        open_gguf(strange)
    assert caught.value.path == os.fsdecode(strange)
    str(caught.value).encode()  # the message can be printed
    with pytest.raises(FileNotFoundError) as missing:
        open_gguf(strange + b"2")
    assert os.fsencode(missing.value.filename) == strange + b"2"


def test_failed_opens_leave_no_descriptor_behind(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", g.tiny_llama(tmp_path / "m.gguf")
    bad.write_bytes(good.read_bytes()[:2000])
    before = n_descriptors()
    for path in (bad, tmp_path, tmp_path / "none", "/dev/null", good):
        for _ in range(20):
            with contextlib.suppress(OSError, ModelFormatError):
                open_gguf(path).close()
    assert n_descriptors() == before


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = g.tiny_llama(tmp_path / "m.gguf")
    checkpoint = open_gguf(path)
    checkpoint.native.check_unchanged()
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelFormatError, match="changed"):
        checkpoint.native.check_unchanged()
    os.truncate(path, 100)
    with pytest.raises(ModelTruncatedError) as caught:
        checkpoint.native.check_unchanged()
    assert (caught.value.expected, caught.value.actual) == (checkpoint.size, 100)
    checkpoint.close()
    with pytest.raises(ClosedError):
        checkpoint.native.check_unchanged()


def test_a_file_replaced_by_rename_is_still_the_one_that_was_opened(tmp_path: Path) -> None:
    path = g.tiny_llama(tmp_path / "m.gguf")
    checkpoint = open_gguf(path)
    g.tiny_gemma3(tmp_path / "new.gguf").replace(path)
    checkpoint.native.check_unchanged()
    assert checkpoint.architecture == "llama"
