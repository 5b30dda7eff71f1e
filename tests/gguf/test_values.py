"""What a good file holds comes out as it went in."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken.checkpoints.gguf import open_gguf
from nextoken.checkpoints.summary import summary
from tests import gguf_files as g

EXTREMES = {
    g.U8: (0, 255),
    g.I8: (-128, 127),
    g.U16: (0, 65535),
    g.I16: (-32768, 32767),
    g.U32: (0, 2**32 - 1),
    g.I32: (-(2**31), 2**31 - 1),
    g.U64: (0, 2**64 - 1),
    g.I64: (-(2**63), 2**63 - 1),
    g.F32: (1.5, -0.0, math.inf, 2.0**-149),
    g.F64: (1.5, 5e-324, -math.inf, 1e308),
    g.BOOL: (0, 1),
    g.STRING: ("", "a", "naïve 中 🙂", "\0\n"),
}
NAMES = dict(
    enumerate(("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "arr", "u64", "i64", "f64"))
)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", EXTREMES, ids=NAMES.get)
def test_every_value_type_alone_and_in_arrays(tmp_path: Path, kind: int, version: int) -> None:
    values = list(EXTREMES[kind])
    entries = {f"one.{i}": g.Typed(kind, v) for i, v in enumerate(values)}
    entries["many"] = g.Typed(g.ARRAY, values, element=kind)
    entries["none"] = g.Typed(g.ARRAY, [], element=kind)
    metadata = open_gguf(g.write_gguf(tmp_path / "a.gguf", entries, version=version)).metadata

    assert list(metadata) == list(entries)
    assert [metadata[f"one.{i}"] for i in range(len(values))] == values
    assert list(metadata["many"]) == values
    assert len(metadata["none"]) == 0
    assert {metadata.kind(k) for k in metadata} == {NAMES[kind], f"arr[{NAMES[kind]}]"}
    assert (metadata.length("many"), metadata.length("none"), metadata.length("one.0")) == (len(values), 0, 1)
    if kind not in (g.STRING,):
        assert metadata["many"].dtype == np.dtype("?" if kind == g.BOOL else g.SCALARS[kind])
    if kind == g.BOOL:
        assert metadata["one.1"] is True


def test_strings_that_are_no_utf8_keep_their_bytes(tmp_path: Path) -> None:
    raw = [b"\xff\xfe", b"ok", b"", b"\xed\xa0\x80"]
    path = g.write_gguf(tmp_path / "a.gguf", {"s": g.Typed(g.ARRAY, raw, element=g.STRING), "one": b"\xff"})
    checkpoint = open_gguf(path)
    assert list(checkpoint.native.strings("s")) == raw
    assert [s.encode("utf-8", "surrogateescape") for s in checkpoint.metadata["s"]] == raw
    assert checkpoint.metadata["one"].encode("utf-8", "surrogateescape") == b"\xff"


@given(
    values=st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True),
        st.one_of(
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(width=32, allow_nan=False),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=9),
            st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9),
        ),
        max_size=12,
    ).filter(lambda d: "general.alignment" not in d)
)
def test_any_metadata_round_trips(tmp_path_factory: pytest.TempPathFactory, values: dict) -> None:
    path = g.write_gguf(tmp_path_factory.mktemp("gguf") / "a.gguf", values)
    metadata = open_gguf(path).metadata
    read = {k: metadata[k].tolist() if isinstance(metadata[k], np.ndarray) else metadata[k] for k in metadata}
    assert read == values


@pytest.mark.parametrize("write", [g.tiny_llama, g.tiny_gemma3])
@pytest.mark.parametrize("types", ["F32", "Q4_1", "Q6_K", "BF16"])
def test_tiny_models_read_as_the_gguf_package_reads_them(tmp_path: Path, write, types: str) -> None:
    _compare_with_gguf_package(write(tmp_path / "tiny.gguf", types))


@pytest.mark.models
@pytest.mark.parametrize("model", ["smollm2_path", pytest.param("gemma3_path", marks=pytest.mark.slow)])
def test_real_models_read_as_the_gguf_package_reads_them(request: pytest.FixtureRequest, model: str) -> None:
    _compare_with_gguf_package(request.getfixturevalue(model))


def _compare_with_gguf_package(path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    theirs, ours = gguf.GGUFReader(str(path)), open_gguf(path)
    fields = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert fields.keys() == ours.metadata.keys()
    for key, value in fields.items():
        read = ours.metadata[key]
        assert (read.tolist() if isinstance(read, np.ndarray) else read) == value, key
    assert len(theirs.tensors) == len(ours.tensors)
    for a, b in zip(theirs.tensors, ours.tensors.values(), strict=True):
        expected = (a.name, tuple(a.shape), a.tensor_type.value, a.tensor_type.name, a.data_offset, a.n_bytes)
        assert expected == (b.name, b.shape, b.type, b.type_name, b.offset, b.nbytes)


def test_type_table_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    # q8_1 is two f16 and 32 bytes in ggml; the package still says two f32. No file stores weights in it.
    sizes = {t: v for t, v in gguf.constants.GGML_QUANT_SIZES.items() if t.name != "Q8_1"}
    infos, offset = [], 0
    for t, (block, size) in sizes.items():
        infos.append(g.tensor_info(t.name, (block * 2, 3), t.value, offset))
        offset += -(-size * 6 // 32) * 32
    checkpoint = open_gguf(g.write_gguf(tmp_path / "t.gguf", infos=infos, data=bytes(offset)))
    for t, (_, size) in sizes.items():
        tensor = checkpoint.tensors[t.name]
        assert (tensor.type, tensor.type_name, tensor.nbytes) == (t.value, t.name, size * 6)


def test_padding_keys_before_the_needed_ones_are_no_matter(tmp_path: Path) -> None:  # A22
    padding = {f"pad.{i}": "x" * 1000 for i in range(66)} | {f"tiny.{i}": i for i in range(5000)}
    path = g.write_gguf(tmp_path / "a.gguf", padding | {"general.architecture": "llama"})
    assert open_gguf(path).architecture == "llama"


def test_a_million_empty_strings_load(tmp_path: Path) -> None:  # A13
    payload = struct.pack("<IQ", g.STRING, 10**6) + bytes(8 * 10**6)
    path = g.write_gguf(tmp_path / "a.gguf", [g.raw_kv("many", g.ARRAY, payload)])
    assert open_gguf(path).metadata.length("many") == 10**6


def test_other_alignments(tmp_path: Path) -> None:
    tensors = {"a": (np.ones(3, "<f4"), "F32", (3,)), "b": (np.ones(5, "<f4"), "F32", (5,))}
    for alignment in (8, 64, 4096):
        path = g.write_gguf(
            tmp_path / "a.gguf", {"general.alignment": alignment}, tensors, alignment=alignment
        )
        offsets = [t.offset for t in open_gguf(path).tensors.values()]
        assert all(offset % alignment == 0 for offset in offsets)
        assert offsets[1] - offsets[0] == -(-12 // alignment) * alignment


def test_summary_is_plain_printable_data(tmp_path: Path) -> None:
    path = g.tiny_llama(tmp_path / "m.gguf", {"token_embd": "Q8_0", "": "Q4_0"}, metadata={
        "general.name": "evil\x1b[2J\udcff".encode("utf-8", "surrogateescape"),
        "llama.per_layer": [1, 2],
    })  # fmt: skip
    s = summary(open_gguf(path))
    assert (s.architecture, s.hparams["block_count"], s.hparams["per_layer"]) == ("llama", 2, [1, 2])
    assert s.name == "evil�[2J�"
    assert s.vocab_size == s.hparams["vocab_size"]
    assert {t.type_name: t.n_tensors for t in s.types} == {"Q4_0": 14, "Q8_0": 1, "F32": 5}
    assert s.weight_bytes == sum(t.nbytes for t in s.types) < s.size == path.stat().st_size
    assert s.n_parameters == sum(w.size for w in g.read_weights(path).values())
    json.dumps(dataclasses.asdict(s))
