"""Every truncation and every flipped bit: rows B18 and B20. A typed error or a file that parses, never a signal."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken.checkpoints.gguf import open_gguf
from nextoken.checkpoints.summary import summary
from nextoken.errors import Error, ModelTruncatedError
from tests import gguf_files as g


def small_file() -> bytes:
    """About 4 KB with every value type, several tensors and block types."""
    metadata = {"general.architecture": "llama", "general.alignment": 32, "llama.block_count": 2}
    for kind in g.SCALARS:
        metadata[f"one.{kind}"] = g.Typed(kind, 1)
        metadata[f"many.{kind}"] = g.Typed(g.ARRAY, [0, 1, 1], element=kind)
    metadata["tokenizer.ggml.tokens"] = [f"token {i}" for i in range(80)]
    tensors = {
        "token_embd.weight": (np.ones((2, 8), "<f4"), "F32", (8, 2)),
        "blk.0.q.weight": (bytes(34 * 3), "Q8_0", (32, 3)),
        "blk.0.k.weight": (bytes(144), "Q4_K", (256, 1)),
        "blk.0.v.weight": (bytes(2 * 16), "BF16", (2, 2, 2, 2)),
    }
    return g.gguf_bytes(metadata, tensors)


def fault_of(path: Path) -> Error | None:
    try:
        open_gguf(path).close()
    except Error as error:
        return error
    return None


def test_b18_cut_at_every_byte(tmp_path: Path) -> None:
    data, path = small_file(), tmp_path / "cut.gguf"
    path.write_bytes(data)
    assert len(open_gguf(path).tensors) == 4
    for size in range(len(data) - 1, -1, -1):
        os.truncate(path, size)
        with pytest.raises(ModelTruncatedError) as caught:
            open_gguf(path)
        assert caught.value.actual == size < caught.value.expected <= len(data), size
        assert caught.value.path == str(path)


def test_b18_cut_within_the_weights(tmp_path: Path) -> None:
    path = g.tiny_llama(tmp_path / "m.gguf", "Q8_0")
    size, begin = path.stat().st_size, open_gguf(path).native.data_offset
    for cut in (size - 1, *np.linspace(size - 2, begin, 64).astype(int)):
        os.truncate(path, cut)
        with pytest.raises(ModelTruncatedError):
            open_gguf(path)


def test_b20_every_flipped_bit(tmp_path: Path) -> None:
    data, path = small_file(), tmp_path / "flip.gguf"
    parsed, refused = 0, 0
    path.write_bytes(data)
    with path.open("r+b", buffering=0) as file:
        for position in range(min(len(data), 4096)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([data[position] ^ 1 << bit]), position)
                error = fault_of(path)
                parsed, refused = parsed + (error is None), refused + (error is not None)
                assert error is None or str(path) in str(error)
            os.pwrite(file.fileno(), data[position : position + 1], position)
    # Bits of numbers and texts make another good file; those of lengths, types and offsets never do.
    assert parsed > 1000
    assert refused > 5000


INTERESTING = [
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    31,
    32,
    255,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**60,
    2**63 - 1,
    2**64 - 1,
]


@given(
    edits=st.lists(
        st.tuples(st.integers(0, 4095), st.sampled_from(INTERESTING), st.sampled_from("BIQ")),
        min_size=1,
        max_size=3,
    ),
    cut=st.none() | st.integers(0, 4096),
)
def test_numbers_written_over_any_place(
    tmp_path_factory: pytest.TempPathFactory, edits: list, cut: int | None
) -> None:
    data = bytearray(small_file())
    for place, value, width in edits:
        size = struct.calcsize(width)
        place = min(place, len(data) - size)
        data[place : place + size] = (value % 256**size).to_bytes(size, "little")
    path = tmp_path_factory.mktemp("gguf") / "a.gguf"
    path.write_bytes(data[:cut])
    try:
        checkpoint = open_gguf(path)
    except Error:
        return
    for tensor in checkpoint.tensors.values():
        assert checkpoint.native.data_offset <= tensor.offset <= tensor.offset + tensor.nbytes <= len(data)
    for key in checkpoint.metadata:
        _ = checkpoint.metadata[key]
    try:
        summary(checkpoint)
    except Error:
        return


MEASURE = """
import sys
from nextoken.checkpoints.gguf import open_gguf
def peak():  # of this program alone; getrusage would start from what its parent had
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
open_gguf(sys.argv[1]).close()  # what Python and the module take
before = peak()
try:
    open_gguf(sys.argv[2])
except ValueError:
    pass
print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak from /proc")
@pytest.mark.parametrize("name", ["strings", "empty strings", "numbers", "entries", "tensors", "lies"])
def test_memory_stays_in_proportion_to_the_file(tmp_path: Path, name: str) -> None:
    """At most four times the file and 16 MiB, whatever it declares."""
    path, infos = tmp_path / "big.gguf", []
    if name == "strings":
        kvs = [g.raw_kv("a", g.ARRAY, struct.pack("<IQ", g.STRING, 10**6) + g.text("twelve bytes") * 10**6)]
    elif name == "empty strings":
        kvs = [g.raw_kv("a", g.ARRAY, struct.pack("<IQ", g.STRING, 10**6) + bytes(8 * 10**6))]
    elif name == "numbers":
        kvs = [
            g.raw_kv(f"a.{i}", g.ARRAY, struct.pack("<IQ", g.U8, 5 * 10**6) + bytes(5 * 10**6))
            for i in range(4)
        ]
    elif name == "entries":
        kvs = [g.kv(f"{i:x}", g.Typed(g.U8, 1)) for i in range(60_000)]
    elif name == "tensors":
        kvs, infos = [], [g.tensor_info(f"{i:x}", (1,), "F32", 32 * i) for i in range(60_000)]
    else:
        kvs = [
            g.raw_kv(
                "a", g.ARRAY, struct.pack("<IQ", g.STRING, 2**20) + g.text("x", length=2**27) + bytes(2**23)
            )
        ]
    g.write_gguf(path, kvs, infos=infos, data=bytes(32 * len(infos)))
    warm = g.tiny_llama(tmp_path / "warm.gguf")
    command = [sys.executable, "-c", MEASURE, str(warm), str(path)]
    grown = int(
        subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
    )
    assert grown <= 4 * path.stat().st_size + 2**24
