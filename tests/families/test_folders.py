"""Every family from a folder: the bits of its GGUF file, and of old and new ways to write config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors
from tests.bits.test_same_bits import check_model, few_ways, isas_here
from tests.families import reference
from tests.families.experts import IN_FOLDERS
from tests.families.family import ids, weights
from tests.families.folders import write_folder
from tests.families.make_reference import REFERENCE, STEP
from tests.families.positions import DEFAULT
from tests.families.tiny import FAMILIES, write

TRANSFORMERS = np.load(REFERENCE)


def logits(path: Path, n: int = 300, **options: Any) -> np.ndarray:
    with LLM(path, kv_dtype="f32", **options) as llm:
        return np.asarray(llm([ids(n)])[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_meets_transformers_and_has_the_bits_of_the_file(tmp_path: Path, name: str) -> None:
    family = FAMILIES[name]
    actual = logits(write_folder(tmp_path / "hf", family))
    largest = np.abs(actual).max()
    assert np.abs(actual[::STEP] - TRANSFORMERS[name]).max() <= 1e-4 * largest
    of_file = logits(write(tmp_path / "m.gguf", family))
    if name == "phi3-long":  # whose file has the magnitude in float32
        assert np.abs(actual - of_file).max() <= 1e-5 * largest
    else:
        assert actual.tobytes() == of_file.tobytes()


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_what_only_folders_say_is_applied(tmp_path: Path, name: str) -> None:
    family = IN_FOLDERS[name]
    folder = write_folder(tmp_path / "hf", family)
    actual, expected = logits(folder), reference.logits(family, weights(family), ids())
    largest = np.abs(expected).max()
    assert np.abs(actual - expected).max() <= 2e-5 * largest
    assert np.abs(actual[::STEP] - TRANSFORMERS[name]).max() <= 1e-4 * largest
    check_model(folder, few_ways(isas_here()), (23, 1, 18))


def refused(folder: Path, message: str) -> None:
    with pytest.raises((errors.UnsupportedModelError, errors.ModelFormatError), match=message):
        LLM(folder)


YARN = FAMILIES["llama-yarn"].hf["rope_parameters"]
LONG = FAMILIES["phi3-long"].hf["rope_parameters"]
OLD_ROPE: dict[str, dict[str, Any]] = {
    "llama-yarn": {
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    },
    "olmo3": {
        "rope_theta": 10000.0,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 128,
            "attention_factor": 1.1386294361119891,
        },
    },
    "gemma3": {
        "rope_theta": 1e6,
        "rope_local_base_freq": 1e4,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "qwen3": {"rope_theta": 10000, "rope_scaling": None},
    "phi3-long": {
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.75,
        "rope_scaling": {
            "type": "su",
            "long_factor": LONG["long_factor"],
            "short_factor": LONG["short_factor"],
        },
    },
}


@pytest.mark.parametrize("name", OLD_ROPE)
def test_positions_as_older_folders_write_them(tmp_path: Path, name: str) -> None:
    family = FAMILIES[name]
    old = write_folder(tmp_path / "old", family, config={"rope_parameters": None, **OLD_ROPE[name]})
    assert logits(old).tobytes() == logits(write_folder(tmp_path / "new", family)).tobytes()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("qwen2", {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 2}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 0}),
        ("qwen3moe", {"use_sliding_window": True, "sliding_window": 40}),
        ("qwen3moe", {"norm_topk_prob": False}),
        ("qwen2moe", {"norm_topk_prob": True}),
        ("qwen2moe", {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 4}),
        ("olmoe", {"norm_topk_prob": True}),
        ("mistral", {"sliding_window": 40}),
        ("mixtral", {"sliding_window": 40}),
        ("smollm3", {"no_rope_layers": [1, 0, 1, 1]}),
        ("smollm3", {"no_rope_layers": None, "no_rope_layer_interval": 2}),
        ("smollm3", {"use_sliding_window": True, "sliding_window": 40}),
        ("smollm3", {"layer_types": ["sliding_attention"] * 4, "sliding_window": 40}),
        ("gemma2", {"query_pre_attn_scalar": 7}),
        ("gemma2", {"layer_types": ["full_attention"] * 4}),
        ("gemma2", {"attn_logit_softcapping": 5.0}),
        ("olmo3", {"layer_types": ["full_attention"] * 4}),
        ("granite", {"attention_multiplier": 0.5}),
        ("granite", {"residual_multiplier": 0.5}),
        ("granite", {"embedding_multiplier": 0.5}),
        ("granite", {"logits_scaling": 0.5}),
        ("phi3", {"sliding_window": None}),
        ("llama-yarn", {"rope_parameters": {**YARN, "truncate": False}}),
        ("llama-yarn", {"rope_parameters": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3}}),
        ("llama-yarn", {"rope_parameters": {**YARN, "attention_factor": 1.3}}),
        ("llama-yarn", {"rope_parameters": {**YARN, "beta_slow": 0.2}}),
    ],
)  # fmt: skip
def test_a_key_that_changes_the_arithmetic_changes_the_logits(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    family = FAMILIES[name]
    before = logits(write_folder(tmp_path / "before", family), 90)
    after = logits(write_folder(tmp_path / "after", family, config=changes), 90)
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("qwen2moe", {"decoder_sparse_step": 0}, "decoder_sparse_step is 0"),
        ("qwen2moe", {"decoder_sparse_step": 2}, "blk.0.ffn_gate_inp.weight|is no part|are missing"),
        ("qwen3moe", {"mlp_only_layers": ["1"]}, "mlp_only_layers holds something else"),
        ("qwen3moe", {"mlp_only_layers": 1}, "mlp_only_layers is 1, a list was expected"),
        ("olmoe", {"clip_qkv": -8.0}, "clip_qkv is -8.0"),
        ("granitemoe", {"shared_intermediate_size": 8}, "shexp"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": None, "max_window_layers": 1}, "sliding_window"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 4}, "layer_types"),
        ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("gemma2", {"sliding_window_size": 41}, "sliding_window_size"),
        ("gemma2", {"hidden_activation": "mish"}, "hidden_activation"),
        ("smollm3", {"no_rope_layers": [1, 2, 1, 0]}, "no_rope_layers"),
        ("phi3-long", {"rope_parameters": {**LONG, "long_factor": [1.0]}}, "long_factor has 1 numbers, 6"),
        ("olmo3", {"rope_parameters": {"sliding_attention": DEFAULT, "full_attention": YARN | {"truncate": False}}},
         "full_attention.truncate is false"),
        ("phi3", {"partial_rotary_factor": 0.7}, "partial_rotary_factor does not fit"),
        ("qwen3", {"attention_bias": True}, "asks for blk"),
        ("granite", {"mlp_bias": True}, "asks for blk"),
    ],
)  # fmt: skip
def test_what_is_not_applied_is_named(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    refused(write_folder(tmp_path / "hf", FAMILIES[name], config=changes), message)


def test_dynamic_positions_are_chosen_by_the_context(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    plain = write_folder(tmp_path / "plain", FAMILIES["qwen3"])
    dynamic = write_folder(tmp_path / "dynamic", FAMILIES["qwen3"], config={"rope_parameters": rope})
    assert logits(dynamic).tobytes() == logits(plain).tobytes()
    theta = 10000.0 * (2.0 * 2048 / 512 - 1.0) ** (32 / 30)
    rope = {"rope_type": "default", "rope_theta": theta}
    stretched = write_folder(tmp_path / "stretched", FAMILIES["qwen3"], config={"rope_parameters": rope})
    far = logits(dynamic, n_ctx=2048)
    assert np.abs(far - logits(stretched)).max() <= 1e-5 * np.abs(far).max()
