"""Models in several GGUF files: row A21."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from typer.testing import CliRunner

from nextoken import LLM
from nextoken.checkpoints.gguf import open_gguf
from nextoken.checkpoints.split import part_names
from nextoken.cli.app import app
from nextoken.errors import ModelFormatError
from tests import gguf_files as g
from tests.gguf_split import split

IDS = [[3, 14, 15, 92]]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return g.tiny_llama(tmp_path / "whole.gguf", "Q8_0")


def test_a_model_in_parts_has_the_bits_of_the_whole(whole: Path, tmp_path: Path) -> None:
    paths = split(whole, tmp_path / "parts")
    with LLM(paths[0]) as parts, LLM(whole) as one:
        assert np.asarray(parts(IDS)).tobytes() == np.asarray(one(IDS)).tobytes()
        assert parts.tokenizer.encode("Hello") == one.tokenizer.encode("Hello")


def test_parts_written_by_the_gguf_package_load(tmp_path: Path) -> None:
    whole = g.tiny_llama(tmp_path / "whole.gguf")
    reader = gguf.GGUFReader(str(whole))
    writer = gguf.GGUFWriter(str(tmp_path / "m.gguf"), "llama", split_max_tensors=5)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), field.types[0], element)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first = min(tmp_path.glob("m-00001-of-*.gguf"))
    with LLM(first) as parts, LLM(whole) as one:
        assert np.asarray(parts(IDS)).tobytes() == np.asarray(one(IDS)).tobytes()


def test_inspect_shows_the_sum(whole: Path, tmp_path: Path) -> None:
    paths = split(whole, tmp_path / "parts")
    shown = [
        json.loads(CliRunner().invoke(app, ["inspect", str(path), "--json"]).stdout)
        for path in (paths[0], whole)
    ]
    for key in ("n_tensors", "n_parameters", "weight_bytes", "types", "memory"):
        assert shown[0][key] == shown[1][key], key
    assert shown[0]["size"] == sum(path.stat().st_size for path in paths)


def test_names_of_parts() -> None:
    assert part_names("a/b-00002-of-00003.gguf") == [f"a/b-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for name in ("m.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-1-of-3.gguf", ""):
        assert part_names(name) == [name]


def test_another_part_than_the_first_says_which_is(whole: Path, tmp_path: Path) -> None:
    paths = split(whole, tmp_path / "parts")
    with pytest.raises(
        ModelFormatError, match="part 2 of 3; open the first, m-00001-of-00003.gguf"
    ) as caught:
        LLM(paths[1])
    assert (caught.value.path, caught.value.field) == (str(paths[1]), "split.no")


def test_a_missing_part_is_named(whole: Path, tmp_path: Path) -> None:
    paths = split(whole, tmp_path / "parts")
    paths[2].unlink()
    with pytest.raises(FileNotFoundError, match="part 3 of 3 of the model is missing") as caught:
        LLM(paths[0])
    assert caught.value.filename == str(paths[2])


def test_a_truncated_part_is_named(whole: Path, tmp_path: Path) -> None:
    paths = split(whole, tmp_path / "parts")
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    with pytest.raises(ModelFormatError) as caught:
        LLM(paths[0])
    assert caught.value.path == str(paths[1])


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        (0, "split.count", g.Typed(g.U16, 65535), "should be named NAME-00001-of-65535.gguf"),
        (0, "split.count", g.Typed(g.U16, 2), "should be named"),
        (0, "split.count", "3", "an integer was expected"),
        (0, "split.no", None, "is missing"),
        (0, "split.no", g.Typed(g.U16, 3), "from 0 to 2"),
        (0, "split.tensors.count", None, "is missing"),
        (1, "split.tensors.count", g.Typed(g.I32, 7), "is not"),
        (1, "split.no", g.Typed(g.U16, 2), "is not 1"),
        (2, "split.no", None, "is not 2"),
        (2, "split.count", g.Typed(g.U16, 4), "is not 3"),
        (1, "general.architecture", "qwen2", "another model"),
        (1, "general.architecture", [1, 2], "a string was expected"),
    ],
)
def test_what_parts_say_must_fit(
    whole: Path, tmp_path: Path, part: int, key: str, value: object, message: str
) -> None:
    paths = split(whole, tmp_path / "parts", **{f"part{part}": {key: value}})
    with pytest.raises(ModelFormatError, match=message) as caught:
        LLM(paths[0])
    assert (caught.value.path, caught.value.field) == (str(paths[part]), key)


def test_a_tensor_that_two_parts_have_and_one_that_none_has(whole: Path, tmp_path: Path) -> None:
    paths = split(whole, tmp_path / "parts")
    paths[1].write_bytes(paths[2].read_bytes())
    with pytest.raises(ModelFormatError, match="is not 1: no part 2 of 3"):
        open_gguf(paths[0])
    reader = gguf.GGUFReader(str(paths[2]))
    tensors = {t.name: (t.data.tobytes(), int(t.tensor_type), t.shape.tolist()) for t in reader.tensors[:2]}
    keys = {"split.no": g.Typed(g.U16, 1), "split.count": g.Typed(g.U16, 3)}
    g.write_gguf(paths[1], keys, tensors)
    with pytest.raises(ModelFormatError, match="is in part 2 too") as caught:
        open_gguf(paths[0])
    assert (caught.value.path, caught.value.field) == (str(paths[2]), next(iter(tensors)))
    g.write_gguf(paths[1], keys, {})
    with pytest.raises(ModelFormatError, match="the 3 parts have") as caught:
        open_gguf(paths[0])
    assert caught.value.field == "split.tensors.count"
