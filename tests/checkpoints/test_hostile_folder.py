"""Folders that strangers wrote: what is in their files is refused by name, and none of their code is run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors
from nextoken.checkpoints import safetensors
from nextoken.checkpoints.hf_folder import open_folder
from tests.checkpoints.test_folder import bits, edit
from tests.hf_folders import as_dtype, llama_folder, safetensors_bytes, write_weights

HUGE = 10**400


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_attention_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta"]
)
@pytest.mark.parametrize("value", [HUGE, -HUGE, 2**64, [1], {"a": 1}])
def test_a_number_that_is_none_is_named(tmp_path: Path, key: str, value: Any) -> None:
    """Row D12."""
    with pytest.raises(errors.ModelFormatError, match=key):
        LLM(edit(llama_folder(tmp_path), **{key: value}))


@pytest.mark.parametrize(
    ("changes", "message"), [({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000")]
)
def test_layers_beyond_all_models_cost_nothing(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ModelFormatError, match=message):
        LLM(edit(llama_folder(tmp_path), **changes))


def test_a_folder_without_a_config_is_none(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    (folder / "config.json").write_text("{}")
    with pytest.raises(errors.ModelFormatError, match="model_type is missing"):
        LLM(folder)
    (folder / "config.json").unlink()
    with pytest.raises(IsADirectoryError, match="without config.json"):
        LLM(folder)


def test_a_file_of_a_folder_is_answered_with_the_folder(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    for name, message in (
        ("config.json", "of a config.json give the folder"),
        ("model.safetensors", "give the folder"),
    ):
        with pytest.raises(errors.ModelFormatError, match=message):
            LLM(folder / name)


def test_code_of_a_folder_is_never_run(tmp_path: Path) -> None:
    """Row D13."""
    folder = edit(llama_folder(tmp_path), auto_map={"AutoModelForCausalLM": "modeling_x.X"})
    (folder / "modeling_x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    edit(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling_x.X", None]})
    assert bits(folder) == bits(tmp_path / "model.gguf")
    with LLM(folder) as llm:
        llm.generate("hello", max_tokens=1)
    assert not (tmp_path / "ran").exists()
    assert "modeling_x" not in sys.modules


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eos_token_id": [-1]}, "eos_token_id of generation_config.json is '-1'"),
        ({"eos_token_id": [2**70]}, None),
        ({"eos_token_id": [*range(1_000_000)], "temperature": -1}, None),
        ({"eos_token_id": {"a": 1}}, "eos_token_id of generation_config.json"),
        ([], "generation_config.json: the file is a JSON list"),
    ],
)
def test_ends_of_an_answer_that_are_no_tokens_name_their_file(
    tmp_path: Path, values: Any, message: str | None
) -> None:
    """Row D15: a sampling default of a stranger is not taken over, so it need not be right."""
    folder = llama_folder(tmp_path)
    (folder / "generation_config.json").write_text(json.dumps(values))
    with LLM(folder) as llm:
        if message is None:
            assert llm.tokenizer.eos_ids <= {*range(llm.tokenizer.vocab_size)}
            return
        with pytest.raises(errors.TokenizerError, match=message):
            llm.generate("hello")


def test_a_shard_that_is_not_there_is_named_with_its_index(tmp_path: Path) -> None:
    """Row D11."""
    folder = llama_folder(tmp_path, shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors.index.json names.*model-00002-of-00002"):
        LLM(folder)


def test_a_tensor_in_two_shards_names_both(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path, shards=2)
    first, second = sorted(folder.glob("model-*.safetensors"))
    body = first.read_bytes()
    name = next(iter({*json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])} - {"__metadata__"}))
    second.write_bytes(safetensors_bytes({name: np.ones(4, np.float32)}))
    with pytest.raises(
        errors.ModelFormatError, match=f"{second.name}: tensor '{name}' is in .*{first.name} too"
    ):
        LLM(folder)


@pytest.mark.parametrize("total", [0, 10**30, -1, "12", 1.5, [], None])
def test_an_index_that_counts_other_bytes_names_both_numbers(tmp_path: Path, total: Any) -> None:
    folder = llama_folder(tmp_path, shards=2)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    right = index["metadata"]["total_size"]
    index["metadata"]["total_size"] = total
    path.write_text(json.dumps(index))
    if total is not None:
        with pytest.raises(errors.ModelFormatError, match=rf"total_size is .*take {right} bytes") as caught:
            LLM(folder)
        assert caught.value.field == "metadata.total_size"
    index["metadata"]["total_size"] = float(right)
    for metadata in (index["metadata"], {}, None):
        path.write_text(json.dumps(index | {"metadata": metadata}))
        bits(folder)


@pytest.mark.parametrize(
    "name", ["https://a.b/c.safetensors", "file:///etc/passwd", "C:\\x.safetensors", "\n.safetensors"]
)
def test_an_index_names_no_places_elsewhere(tmp_path: Path, name: str) -> None:
    """Row D10."""
    folder = llama_folder(tmp_path, shards=2)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.norm.weight"] = name
    path.write_text(json.dumps(index))
    with pytest.raises(errors.ModelFormatError, match="no file of the folder"):
        LLM(folder)


def test_a_link_to_a_device_is_not_read(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    os.symlink("/dev/zero", folder / "model.safetensors")
    with pytest.raises(errors.ModelFormatError, match="not a regular file"):
        LLM(folder)


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.uint8])
def test_numbers_that_are_no_weights_are_unsupported(tmp_path: Path, dtype: Any) -> None:
    """Row D7."""
    folder = llama_folder(tmp_path)
    stored = {"bool": "BOOL", "int64": "I64", "uint8": "U8"}[np.dtype(dtype).name]
    header = {
        "model.norm.weight": {
            "dtype": stored,
            "shape": [64],
            "data_offsets": [0, 64 * np.dtype(dtype).itemsize],
        }
    }
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + np.ones(64, dtype).tobytes()
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(errors.UnsupportedModelError, match=f"model.norm.weight' is {stored}"):
        LLM(folder)


def test_types_may_be_mixed_and_each_is_exact(tmp_path: Path) -> None:
    """Row D16; F64 is rounded to F32 once, to nearest even."""
    folder = llama_folder(tmp_path)
    raw = (folder / "model.safetensors").read_bytes()
    n = 8 + int.from_bytes(raw[:8], "little")
    mixed, plain = {}, {}
    rng = np.random.default_rng(1)
    for i, (name, entry) in enumerate(json.loads(raw[8:n]).items()):
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = np.frombuffer(raw[n + begin : n + end], "<f4").reshape(entry["shape"])
        between = values * rng.uniform(1, 1 + 1e-6, values.shape)  # doubles that are no floats
        mixed[name] = [between, as_dtype(values, "BF16"), values.astype("<f2")][i % 3]
        plain[name] = (
            (mixed[name].astype("<u4") << 16).view("<f4") if i % 3 == 1 else mixed[name].astype("<f4")
        )
    write_weights(folder, mixed)
    of_mixed, in_memory = bits(folder, dtype="f32"), memory(folder)
    assert bits(folder, dtype="q8_0") != of_mixed
    write_weights(folder, plain)
    assert of_mixed == bits(folder, dtype="f32")
    assert in_memory < memory(folder)  # matrices of F64 take what those of F32 do


def memory(folder: Path) -> int:
    with open_folder(str(folder)) as checkpoint:
        return sum(tensor.memory_nbytes for tensor in checkpoint.tensors.values())


def test_a_double_too_large_for_a_float_is_named(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    name = "model.layers.0.mlp.down_proj.weight"
    with open_folder(str(folder)) as checkpoint:
        tensors = {
            info.name: np.ones(info.shape[::-1], "<f8" if info.name == name else "<f4")
            for info in checkpoint.tensors.values()
        }
    write_weights(folder, tensors)
    bits(folder)
    tensors[name][3, 5] = 1e39
    write_weights(folder, tensors)
    with pytest.raises(errors.NumericalError, match=f"tensor '{name}', between rows 0 and 16"):
        LLM(folder)


def test_a_folder_without_tensors_names_what_is_missing(tmp_path: Path) -> None:
    """Row D9."""
    folder = llama_folder(tmp_path)
    write_weights(folder, {})
    with pytest.raises(errors.ModelFormatError, match="missing"):
        LLM(folder)


def test_ten_thousand_tensors_in_one_place_overlap(tmp_path: Path) -> None:
    """Row D5: a small file that would be a large model."""
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    text = json.dumps({f"t{i}": entry for i in range(10_000)}).encode()
    (path := tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    from nextoken import _native

    with pytest.raises(errors.ModelFormatError, match="overlaps another"):
        safetensors.read_header(_native.File(path), str(path))


# --- tokenizer.json ---


def _tokenizer(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "tokenizer.json"
    file = json.loads(path.read_text())
    change(file)
    path.write_text(json.dumps(file))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b'{"model": 1, "model": 2}',
        b'{"a": NaN}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b"[]",
        b"{}",
    ],
    ids=[
        "empty",
        "cut",
        "nested",
        "nested objects",
        "twice",
        "NaN",
        "BOM",
        "UTF-16",
        "no UTF-8",
        "list",
        "no model",
    ],
)
def test_a_tokenizer_that_is_no_json_leaves_a_model_that_takes_ids(tmp_path: Path, data: bytes) -> None:
    """Row C11."""
    folder = llama_folder(tmp_path)
    (folder / "tokenizer.json").write_bytes(data)
    with LLM(folder) as llm:
        with pytest.raises(errors.TokenizerError, match="tokenizer.json"):
            llm.generate("hello")
        assert llm.generate([1, 2, 3], max_tokens=1).usage


def test_a_tokenizer_of_half_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    os.truncate(folder / "tokenizer.json", 500 << 20)
    with LLM(folder) as llm, pytest.raises(errors.TokenizerError, match="524288000 bytes, more than"):
        llm.generate("hello")


@pytest.mark.parametrize("regex", ["(?<=a)b", "(a+)+$", "a{1,1000000}", "(", "[", r"\1", "(?!a)b*"])
def test_a_pattern_that_is_not_understood_is_refused(tmp_path: Path, regex: str) -> None:
    """Row C10: what matches takes linear time, and what could not is no pattern of ours."""
    folder = llama_folder(tmp_path)
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    _tokenizer(folder, lambda file: file["pre_tokenizer"]["pretokenizers"].insert(0, split))
    with LLM(folder) as llm, pytest.raises(errors.UnsupportedModelError, match="pre_tokenizer: .*pattern"):
        llm.generate("hello")


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ({"id": 5000, "content": "<x>", "special": True}, "5001 tokens, the embedding"),
        ({"id": 1 << 40, "content": "<x>", "special": True}, "no small whole number"),
        ({"id": -1, "content": "<x>", "special": True}, "no small whole number"),
        ({"id": 5, "content": "<x>", "special": True}, "disagree on id 5"),
        ({"id": 5000, "content": "", "special": True}, "without content and special"),
    ],
)
def test_added_tokens_that_fit_no_vocabulary_are_refused(
    tmp_path: Path, token: dict[str, Any], message: str
) -> None:
    """Row C12."""
    folder = llama_folder(tmp_path)
    _tokenizer(folder, lambda file: file["added_tokens"].append(token))
    with LLM(folder) as llm, pytest.raises(errors.TokenizerError, match=message):
        llm.generate("hello")
