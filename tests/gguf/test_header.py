"""Bad headers and metadata: rows A1 to A16 of the list of bad inputs, each a typed error that says where."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nextoken.checkpoints.gguf import open_gguf
from nextoken.errors import ModelFormatError, ModelTruncatedError, UnsupportedModelError
from tests import gguf_files as g


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    return path


def refuse(tmp_path: Path, data: bytes, *words: str, error: type[Exception] = ModelFormatError) -> Exception:
    """Opens the bytes as a file; the error must be of that class, name the file and contain the words."""
    path = write(tmp_path, data)
    with pytest.raises(error) as caught:
        open_gguf(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message
    if isinstance(caught.value, ModelFormatError):
        assert caught.value.path == str(path)
        assert caught.value.field
    return caught.value


def entries(*kvs: bytes, n_kv: int | None = None) -> bytes:
    return g.gguf_bytes(kvs, n_kv=n_kv)


@pytest.mark.parametrize("size", range(24))
def test_a1_too_short_for_a_header(tmp_path: Path, size: int) -> None:
    for data in (g.magic(0, 0)[:size], bytes(size), b"x" * size):
        error = refuse(tmp_path, data, error=ModelTruncatedError)
        assert (error.expected, error.actual) == (24, size)


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer; run git lfs pull"),
        (b"PK\x03\x04", "zip"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b'{"error": "not found"}', "JSON"),
        (struct.pack("<Q", 80) + b'{"__metadata__"', "safetensors"),
        (b"lmgg", "old llama.cpp"),
        (b"tjgg", "old llama.cpp"),
        (b"GGML", "old llama.cpp"),
        (b"GGJT", "old llama.cpp"),
        (b"FUGG", "big-endian"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x80\x02}q", "pickle"),
        (b"\0", "zeros"),
        (b"\x1b[2J", r"begins with '\x1b[2J'"),
        (b"gguf", "begins with 'gguf'"),
    ],
)
def test_a2_wrong_magic_is_named(tmp_path: Path, begin: bytes, words: str) -> None:
    error = refuse(tmp_path, begin + bytes(100), words)
    assert (error.field, error.offset) == ("magic", 0)


@pytest.mark.parametrize("version", [0, 1, 4, 0xFFFFFFFF])
def test_a3_versions(tmp_path: Path, version: int) -> None:
    refuse(tmp_path, g.gguf_bytes(version=version), "versions 2 and 3", error=UnsupportedModelError)


@pytest.mark.parametrize("version", [0x03000000, 0x02000000])
def test_a4_big_endian(tmp_path: Path, version: int) -> None:
    assert refuse(tmp_path, g.gguf_bytes(version=version), "big-endian").field == "version"


@pytest.mark.parametrize("count", [-1, 2**63 - 1, 2**63, 2**60, 10**6, 1000, 1])
def test_a5_a6_counts_larger_than_the_file(tmp_path: Path, count: int) -> None:
    assert refuse(tmp_path, g.gguf_bytes(n_tensors=count), "tensor_count").offset is not None
    assert refuse(tmp_path, g.gguf_bytes(n_kv=count), "kv_count").offset is not None


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40, 65536])
def test_a7_key_length(tmp_path: Path, length: int) -> None:
    data = g.magic(0, 1) + g.text("k", length=length) + bytes(70000)
    assert refuse(tmp_path, data, "metadata key[0]", str(length)).offset == 24


def test_a7_key_longer_than_the_file(tmp_path: Path) -> None:
    refuse(tmp_path, g.magic(0, 1) + g.text("k", length=60000) + bytes(64), error=ModelTruncatedError)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a\0b",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe4\xb8",
        "a\nb",
        "\x7f",
        "\x85",
    ],
)
def test_a8_key_that_is_no_name(tmp_path: Path, key: str | bytes) -> None:
    error = refuse(tmp_path, entries(g.kv("good", 1), g.kv(key, 1)), "metadata key[1]")
    assert str(error).isascii()


def test_a8_keys_of_other_scripts_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path, entries(g.kv("clé.中.🙂", 1)))
    assert list(open_gguf(path).metadata) == ["clé.中.🙂"]


def test_a9_duplicate_key(tmp_path: Path) -> None:
    assert refuse(tmp_path, entries(g.kv("a", 1), g.kv("b", 2), g.kv("a", 1)), "'a'", "twice").field == "a"


@pytest.mark.parametrize("kind", [13, 14, 255, 2**16, 2**31, -1])
def test_a10_value_type(tmp_path: Path, kind: int) -> None:
    error = refuse(tmp_path, entries(g.raw_kv("the.key", kind, bytes(64))), "'the.key'", str(kind % 2**32))
    assert error.field == "the.key"
    in_array = g.raw_kv("the.key", g.ARRAY, struct.pack("<IQ", kind % 2**32, 1) + bytes(64))
    refuse(tmp_path, entries(in_array), "'the.key'", str(kind % 2**32))


def test_a11_nested_arrays_are_refused_at_the_first_level(tmp_path: Path) -> None:
    nested = struct.pack("<IQ", g.ARRAY, 1) * 10_000
    refuse(tmp_path, entries(g.raw_kv("deep", g.ARRAY, nested)), "'deep'", "array of arrays")


@pytest.mark.parametrize("element", [g.U8, g.BOOL, g.STRING, g.F64])
@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 2**61, 2**32, 10**7, 200])
def test_a12_array_length(tmp_path: Path, element: int, count: int) -> None:
    payload = struct.pack("<IQ", element, count) + bytes(64)
    assert refuse(tmp_path, entries(g.raw_kv("long", g.ARRAY, payload)), "long").field == "long"


def test_a14_string_longer_than_the_file(tmp_path: Path) -> None:
    error = refuse(
        tmp_path, entries(g.raw_kv("s", g.STRING, g.text("x", length=2**30))) + bytes(1000), "s has a length"
    )
    assert error.field == "s"
    inside = struct.pack("<IQ", g.STRING, 3) + g.text("ok") + g.text("x", length=2**20) + bytes(900)
    error = refuse(tmp_path, entries(g.raw_kv("s", g.ARRAY, inside)), error=ModelTruncatedError)
    assert (error.field, error.expected > error.actual) == ("s[1]", True)


@pytest.mark.parametrize("byte", [2, 127, 128, 255])
def test_a15_bool_that_is_neither(tmp_path: Path, byte: int) -> None:
    refuse(tmp_path, entries(g.kv("flag", g.Typed(g.BOOL, byte))), "flag", str(byte))
    in_array = g.kv("flags", g.Typed(g.ARRAY, [0, 1, byte], element=g.BOOL))
    assert refuse(tmp_path, entries(in_array), str(byte)).field == "flags[2]"


@pytest.mark.parametrize("value", [0, 1, 3, 48, 2**17, 2**31, "32", 32.0, g.Typed(g.U64, 32), [32]])
def test_a16_alignment(tmp_path: Path, value: object) -> None:
    error = refuse(tmp_path, entries(g.kv("general.alignment", value)), "general.alignment")
    assert error.field == "general.alignment"
    assert error.offset is not None
