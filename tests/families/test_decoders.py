"""Families by their parts: against the float64 textbook, transformers, as file and as folder, and the same bits."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors
from tests.bits.test_same_bits import check_model, few_ways, isas_here
from tests.families import parts
from tests.families.cases import CASES, IN_FOLDERS, write_file, write_folder
from tests.families.family import ids
from tests.families.make_decoders import REFERENCE, STEP
from tests.hf_folders import write_weights

TRANSFORMERS = np.load(REFERENCE)
IN_TRANSFORMERS = [name for name, case in CASES.items() if case.in_transformers]


@functools.cache
def expected(name: str) -> np.ndarray:
    return parts.logits(CASES[name].decoder()[0], ids())


def logits(path: Path, n: int = 300, **options: Any) -> np.ndarray:
    with LLM(path, kv_dtype="f32", **options) as llm:
        return np.asarray(llm([ids(n)])[0])


@pytest.mark.parametrize("name", CASES)
def test_logits_meet_the_textbook_and_transformers(tmp_path: Path, name: str) -> None:
    actual = logits(write_file(tmp_path / "m.gguf", CASES[name]))
    largest = np.abs(expected(name)).max()
    assert np.std(expected(name)) > 0.05 * largest
    # Float32 through four layers, against float64, and against float32 in another order of sums.
    assert np.abs(actual - expected(name)).max() <= 2e-5 * largest
    if CASES[name].in_transformers:
        assert np.abs(actual[::STEP] - TRANSFORMERS[name]).max() <= 1e-4 * largest


@pytest.mark.parametrize("name", IN_TRANSFORMERS)
def test_a_folder_has_the_bits_of_the_file(tmp_path: Path, name: str) -> None:
    folder = logits(write_folder(tmp_path / "hf", CASES[name]))
    assert folder.tobytes() == logits(write_file(tmp_path / "m.gguf", CASES[name])).tobytes()


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_what_only_folders_say_is_applied(tmp_path: Path, name: str) -> None:
    case = IN_FOLDERS[name]
    folder = write_folder(tmp_path / "hf", case)
    actual, expected = logits(folder), parts.logits(case.decoder()[0], ids())
    largest = np.abs(expected).max()
    assert np.abs(actual - expected).max() <= 2e-5 * largest
    if case.in_transformers:
        assert np.abs(actual[::STEP] - TRANSFORMERS[name]).max() <= 1e-4 * largest


@pytest.mark.parametrize(
    "name", ["gpt2-by-layer", "phi-normed", "opt-350m", "bloom-normed-stream", "llama4-without", "falcon-rw"]
)
def test_every_way_gives_the_same_bits_from_a_folder(tmp_path: Path, name: str) -> None:
    check_model(write_folder(tmp_path / "hf", IN_FOLDERS[name]), few_ways(isas_here()), (71, 1, 18))


OTHERS_HAVE_IT_TOO = (
    "gptneox-sequential",
    "stablelm",
    "stablelm-normed",
    "falcon-7b",
    "command-r",
    "glm",
    "internlm2",
    "minicpm",
    "llama4-maverick",
    "llama4-dense",
    "glm4-moe-air",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in OTHERS_HAVE_IT_TOO else ()) for name in CASES],
)
def test_every_way_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path / "m.gguf", CASES[name], "Q8_0")
    check_model(path, few_ways(isas_here()), (71, 1, 18))


@pytest.mark.parametrize("name", [name for name in CASES if name != "opt"])
def test_tensors_are_named_as_the_gguf_package_names_them(name: str) -> None:
    import gguf

    arch = next(a for a, text in gguf.MODEL_ARCH_NAMES.items() if text == CASES[name].architecture)
    known = {gguf.TENSOR_NAMES[tensor].format(bid=i) for tensor in gguf.MODEL_TENSORS[arch] for i in range(4)}
    ours = {tensor.rpartition(".")[0] for tensor in parts.gguf(CASES[name].decoder()[0], CASES[name].format)}
    assert ours <= known, ours - known


def refused(path: Path, message: str) -> None:
    with pytest.raises((errors.UnsupportedModelError, errors.ModelFormatError), match=message):
        LLM(path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gpt2", {"activation_function": "mish"}, "activation_function is 'mish'"),
        ("gptj", {"rotary": False}, "rotary is false"),
        ("falcon-7b", {"alibi": 1}, "alibi is 1"),
        ("falcon-7b", {"bias": True}, "asks for blk"),
        ("mpt", {"attn_config": {"qk_ln": True}}, "qk_ln is true"),
        ("mpt", {"attn_config": {"alibi": False}}, "alibi is false"),
        ("mpt", {"attn_config": {"sideways": 1}}, "attn_config.'sideways' is not applied"),
        ("opt", {"_remove_final_layer_norm": True}, "_remove_final_layer_norm is true"),
        ("opt", {"word_embed_proj_dim": 64}, "asks for token_embd_widen"),
        ("opt", {"enable_bias": False}, "q_proj.bias"),
        ("stablelm", {"qk_layernorm": True}, "asks for blk.0.attn_q_norm.0"),
        ("command-r", {"layer_norm_bias": True}, "layer_norm_bias is true"),
        ("cohere2", {"position_embedding_type": "rope"}, "position_embedding_type"),
        ("phi2", {"qk_layernorm": True}, "asks for blk.0.attn_q_norm.weight"),
        ("gptneox", {"rotary_pct": 0.2}, "n_rot"),
        ("llama4", {"attention_chunk_size": -64}, "attention_chunk_size is -64"),
        ("llama4", {"floor_scale": 0}, "floor_scale is 0"),
        ("llama4", {"attn_scale": -0.1}, "attn_scale is -0.1"),
        ("llama4", {"layer_types": ["sliding_attention"] * 4}, "layer_types"),
        ("llama4", {"moe_layers": [0, 3]}, "blk.0.ffn_gate_inp.weight|is no part|are missing"),
        ("llama4", {"interleave_moe_layer_step": 0}, "interleave_moe_layer_step is 0"),
    ],
)  # fmt: skip
def test_what_is_not_applied_is_named(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    refused(write_folder(tmp_path / "hf", CASES[name], changes), message)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2", {"activation_function": "gelu"}),
        ("gpt2", {"scale_attn_weights": False}),
        ("gptneox", {"rotary_pct": 0.5}),
        ("gptneox", {"rotary_emb_base": 500}),
        ("gptneox", {"use_parallel_residual": False}),
        ("phi2", {"partial_rotary_factor": 1.0}),
        ("starcoder2", {"sliding_window": None}),
        ("gptj", {"rotary_dim": 16}),
        ("mpt", {"attn_config": {"clip_qkv": None}}),
        ("mpt", {"attn_config": {"clip_qkv": 1.0, "alibi_bias_max": 5}}),
        ("mpt", {"attn_config": {"clip_qkv": 1.0, "softmax_scale": 0.5}}),
        ("command-r", {"logit_scale": 1.0}),
        ("cohere2", {"layer_types": ["sliding_attention"] * 4}),
        ("exaone4-32b", {"layer_types": ["sliding_attention"] * 4}),
        ("hunyuan", {"rope_parameters": {"rope_type": "dynamic", "alpha": 1000.0}}),
        ("nemotron", {"hidden_act": "relu"}),
        ("llama4", {"attention_chunk_size": 50}),
        ("llama4", {"attention_chunk_size": None}),
        ("llama4", {"floor_scale": 9}),
        ("llama4", {"attn_scale": 0.1}),
        ("llama4", {"attn_temperature_tuning": False}),
        ("llama4", {"use_qk_norm": False}),
        ("llama4", {"layer_types": ["full_attention"] * 4}),
        ("llama4", {"no_rope_layers": [1, 0, 1, 1], "layer_types": None}),
        ("llama4", {"num_experts_per_tok": 1}),
    ],
)  # fmt: skip
def test_a_key_that_changes_the_arithmetic_changes_the_logits(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    before = logits(write_folder(tmp_path / "before", CASES[name]), 90)
    after = logits(write_folder(tmp_path / "after", CASES[name], changes), 90)
    assert np.abs(after - before).max() > 1e-4 * np.abs(before).max()


def test_the_text_half_of_a_model_that_also_sees(tmp_path: Path) -> None:
    case = CASES["llama4"]
    config = {"model_type": "llama4", "text_config": case.config(), "vision_config": {"x": 1}}
    weights = {f"language_model.{name}": value for name, value in case.decoder()[1].items()}
    weights |= {"vision_model.x.weight": np.ones((2, 2), np.float32)}
    folder = tmp_path / "sees"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    write_weights(folder, weights)
    assert logits(folder).tobytes() == logits(write_folder(tmp_path / "text", case)).tobytes()


def test_experts_are_chosen_by_scores_whose_sigmoids_are_all_one(tmp_path: Path) -> None:
    case = CASES["llama4"]
    decoder, weights = case.decoder()
    for name in weights:
        if "router" in name:
            weights[name] *= 12  # the decoder's too
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case.config()))
    write_weights(folder, weights)
    actual, expected = logits(folder), parts.logits(decoder, ids())
    assert np.abs(actual - expected).max() <= 2e-5 * np.abs(expected).max()


def test_learned_positions_end_where_their_table_does(tmp_path: Path) -> None:
    path = write_file(tmp_path / "m.gguf", CASES["gpt2"])
    with LLM(path, n_ctx=600) as llm, pytest.raises(errors.ContextLengthError, match="context of 512"):
        llm([ids(513)])


def test_a_file_that_lacks_a_bias_is_refused(tmp_path: Path) -> None:
    case = CASES["gpt2"]
    path = write_file(tmp_path / "m.gguf", case)
    spoilt = path.read_bytes().replace(b"blk.0.ffn_up.bias", b"blk.0.ffn_up.bios")
    path.write_bytes(spoilt)
    refused(path, "blk.0.ffn_up.bi")
