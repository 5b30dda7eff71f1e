"""The file a session is saved in: magic, a checked header in JSON, then keys and values as the cache holds them.

8 bytes   b"NXTKSESS"
4 bytes   format version, little endian
4 bytes   length of the header, little endian
32 bytes  SHA-256 of the header
header    JSON: fingerprint of the model, kv_dtype, ids, shape, payload_bytes, payload_sha256
payload   what the native cache exported
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import struct
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.errors import ModelFormatError, ModelTruncatedError

MAGIC = b"NXTKSESS"
VERSION = 1
PREFIX = struct.Struct("<8sII32s")
CHUNK = 1 << 24


@dataclass(frozen=True)
class Header:
    """What must agree before keys and values are believed. `shape` is (layers, kv heads, head_dim)."""

    fingerprint: str
    kv_dtype: str
    ids: list[int]
    shape: list[int]
    payload_bytes: int = 0
    payload_sha256: str = ""

    @staticmethod
    def of(model: _native.Model, cache: _native.Cache) -> Header:
        spec = model.spec
        shape = [spec.n_layers, spec.n_kv_heads, spec.head_dim]
        return Header(model.fingerprint, cache.kv_dtype, list(cache.ids()), shape)


def write(path: str | os.PathLike[str], header: Header, payload: npt.NDArray[np.uint8]) -> None:
    """Put the file in its place in one step: a crash at any moment leaves the old one or the new one.

    Raises OSError; the temporary file is removed and the old one untouched.
    """
    target = os.path.realpath(os.fsdecode(os.fspath(path)))  # a link stays, what it points to is replaced
    _check_replaceable(target)
    fields = asdict(header)
    fields["payload_bytes"] = payload.nbytes
    fields["payload_sha256"] = hashlib.sha256(payload.data).hexdigest()
    text = json.dumps(fields, separators=(",", ":")).encode()
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(8).hex()}.tmp")
    try:
        # os.open and not tempfile: the file gets the permissions of the user's umask, as open() gives.
        with open(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb"
        ) as file:
            file.write(PREFIX.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest()))
            file.write(text)
            file.write(payload.data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _check_replaceable(target: str) -> None:
    """A device or a pipe (/dev/null, a FIFO) would be gone, and a file stand in its place."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", target)


def _sync_folder(folder: str) -> None:
    """Make the rename itself last through a power cut, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems refuse to sync a folder; the file itself is safe
    finally:
        os.close(descriptor)


def read(path: str | os.PathLike[str]) -> tuple[Header, npt.NDArray[np.uint8]]:
    """Header and payload, both whole and as they were written.

    Raises OSError if there is no such file, ModelFormatError (`.path`, `.offset`, `.field`) if it is no session,
    of another version, damaged or too long, ModelTruncatedError if it ends early.
    """
    name = os.fsdecode(os.fspath(path))
    with _open_regular(name) as file:
        size = os.fstat(file.fileno()).st_size
        magic, version, length, digest = PREFIX.unpack(_take(file, PREFIX.size, size, name, "header", 0))
        if magic != MAGIC:
            _refuse(name, "not a saved session", "magic", 0)
        if version != VERSION:
            _refuse(name, f"session format {version}, this version reads {VERSION}", "version", 8)
        text = _take(file, length, size, name, "header", PREFIX.size)
        if hashlib.sha256(text).digest() != digest:
            _refuse(name, "the header does not match its checksum", "header", PREFIX.size)
        header = _parse(name, text)
        start = PREFIX.size + length
        if size - start > header.payload_bytes:
            extra = size - start - header.payload_bytes
            _refuse(name, f"{extra} bytes behind the end", "payload", start + header.payload_bytes)
        payload = np.frombuffer(_take(file, header.payload_bytes, size, name, "payload", start), np.uint8)
    if hashlib.sha256(payload.data).hexdigest() != header.payload_sha256:
        _refuse(name, "keys and values do not match their checksum", "payload", start)
    return header, payload


def _open_regular(name: str) -> BinaryIO:
    # Not blocking: a FIFO in its place would wait for a writer for ever.
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if not stat.S_ISREG(mode):
            _refuse(name, "not a regular file", "file", 0)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _take(file: BinaryIO, n: int, size: int, name: str, field: str, at: int) -> bytes:
    """`n` bytes from `at`; the size of the file is compared before memory is taken."""
    data = file.read(n) if at + n <= size else b""
    if len(data) != n:
        raise ModelTruncatedError(
            f"{name}: the {field} at byte {at} needs {n} bytes, {max(0, size - at)} remain",
            path=name,
            offset=at,
            field=field,
            expected=at + n,
            actual=size,
        )
    return data


def _parse(name: str, text: bytes) -> Header:
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        _refuse(name, "the header is not JSON", "header", PREFIX.size)
    kinds = {
        "fingerprint": str,
        "kv_dtype": str,
        "ids": list,
        "shape": list,
        "payload_bytes": int,
        "payload_sha256": str,
    }
    if not isinstance(fields, dict) or set(fields) != set(kinds):
        _refuse(name, f"the header must have the fields {', '.join(kinds)}", "header", PREFIX.size)
    for field, kind in kinds.items():
        if type(fields[field]) is not kind:
            _refuse(name, f"must be a {kind.__name__}", field, PREFIX.size)
    for field in ("ids", "shape"):
        if not all(type(value) is int and 0 <= value < 2**31 for value in fields[field]):
            _refuse(name, "must be a list of ints", field, PREFIX.size)
    if fields["payload_bytes"] < 0:
        _refuse(name, "must not be negative", "payload_bytes", PREFIX.size)
    return Header(**fields)


def _refuse(name: str, what: str, field: str, offset: int) -> NoReturn:
    raise ModelFormatError(f"{name}: {field}: {what}", path=name, offset=offset, field=field)
