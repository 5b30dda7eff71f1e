"""What folders say of their quantisation: as it is published, and a name for each thing that is not applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors
from tests.families.family import ids
from tests.families.folders import write_folder
from tests.families.tiny import FAMILIES
from tests.hf_folders import llama_folder
from tests.quantised_folders import (
    DEEPSEEK,
    change_config,
    compressed,
    fp8_folders,
    rewrite,
)

UNSUPPORTED, FORMAT = errors.UnsupportedModelError, errors.ModelFormatError
MODELOPT: dict[str, Any] = {
    "quant_method": "modelopt",
    "quant_algo": "FP8",
    "producer": {"name": "modelopt", "version": "0.29.0"},
    "ignore": ["lm_head"],
    "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"},
    "config_groups": {
        "group_0": {
            "input_activations": {"dynamic": False, "num_bits": 8, "type": "float"},
            "weights": {"dynamic": False, "num_bits": 8, "type": "float"},
            "targets": ["Linear"],
        }
    },
}


def logits(folder: Path, **options: Any) -> bytes:
    with LLM(folder, kv_dtype="f32", **options) as llm:
        return np.asarray(llm([ids(60)])).tobytes()


def refused(folder: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LLM(folder)


PUBLISHED: dict[str, tuple[dict[str, Any], tuple[int, int] | None, str]] = {
    "DeepSeek V3": (DEEPSEEK, (128, 128), "_scale_inv"),
    "DeepSeek V3.1": (DEEPSEEK | {"scale_fmt": "ue8m0"}, (128, 128), "_scale_inv"),
    "Qwen 3": (DEEPSEEK | {"modules_to_not_convert": ["lm_head"]}, (128, 128), "_scale_inv"),
    "MiniMax": (DEEPSEEK | {"ignored_layers": ["lm_head"]}, (128, 128), "_scale_inv"),
    "Mistral": (
        {
            "quant_method": "fp8",
            "activation_scheme": "static",
            "weight_block_size": None,
            "dequantize": False,
        },
        None,
        "_scale_inv",
    ),
    "AutoFP8": (
        {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]},
        None,
        "_scale",
    ),
    "a tensor": (compressed("tensor"), None, "_scale"),
    "rows": (compressed("channel"), (1, 10**6), "_scale"),
    "blocks": (compressed("block", block_structure=[128, 128]), (128, 128), "_scale"),
    "groups": (compressed("group", group_size=32), (1, 32), "_scale"),
    "modelopt": (MODELOPT, None, "_scale"),
    "modelopt, rows": (
        {"quant_method": "modelopt", "quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"},
        (1, 10**6),
        "_scale",
    ),
    "modelopt, blocks": ({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}, (128, 128), "_scale"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_configurations_as_they_are_published_load(tmp_path: Path, name: str) -> None:
    config, block, ending = PUBLISHED[name]
    folder = write_folder(tmp_path / "f32", FAMILIES["qwen3"])
    fp8, plain = fp8_folders(folder, block, config, ending=ending)
    assert logits(fp8) == logits(plain)


def test_scales_of_activations_and_cacheschange_config_nothing(tmp_path: Path) -> None:
    fp8, plain = fp8_folders(
        write_folder(tmp_path / "f32", FAMILIES["qwen3"]), None, MODELOPT, ending="_scale"
    )

    def add(tensors: dict[str, Any]) -> None:
        for i in range(4):
            for name in ("q_proj.input_scale", "k_proj.k_scale", "v_proj.v_scale", "q_proj.activation_scale"):
                tensors[f"model.layers.{i}.self_attn.{name}"] = np.array(7.0, np.float32)

    assert logits(rewrite(fp8, add)) == logits(plain)
    rewrite(plain, add)
    refused(plain, errors.UnsupportedModelError, r"q_proj\.input_scale' is no known part")


def test_modelopt_may_say_it_in_a_file_of_its_own(tmp_path: Path) -> None:
    fp8, plain = fp8_folders(
        write_folder(tmp_path / "f32", FAMILIES["qwen3"]), None, MODELOPT, ending="_scale"
    )
    config = json.loads((fp8 / "config.json").read_text())
    del config["quantization_config"]
    (fp8 / "config.json").write_text(json.dumps(config))
    refused(fp8, errors.UnsupportedModelError, r"weight' is F8_E4M3; .* as quantization_config says")
    beside = fp8 / "hf_quant_config.json"
    said = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    beside.write_text(json.dumps({"producer": {"name": "modelopt"}, "quantization": said}))
    assert logits(fp8) == logits(plain)
    beside.write_text(json.dumps({"quantization": said | {"quant_algo": "W4A8_AWQ"}}))
    refused(
        fp8, errors.UnsupportedModelError, r"hf_quant_config\.json: quantization\.quant_algo is 'W4A8_AWQ'"
    )
    beside.write_text("{")
    refused(fp8, errors.ModelFormatError, r"hf_quant_config\.json: .* no JSON")


WEIGHTS = "config_groups__group_0__weights"


@pytest.mark.parametrize(
    ("config", "changes", "error", "message"),
    [
        (DEEPSEEK, {"quant_method": "awq"}, UNSUPPORTED, r"quantization_config\.quant_method is 'awq'"),
        (DEEPSEEK, {"quant_method": None}, UNSUPPORTED, r"quantization_config\.quant_method is null"),
        (DEEPSEEK, {"quant_method": ["fp8"]}, UNSUPPORTED, r"quant_method is \['fp8'\]"),
        (DEEPSEEK, {"fmt": "e3m4"}, UNSUPPORTED, r"quantization_config\.fmt is 'e3m4'"),
        (DEEPSEEK, {"expert_dtype": "fp4"}, UNSUPPORTED, r"expert_dtype is 'fp4'"),
        (DEEPSEEK, {"scale_fmt": "log"}, UNSUPPORTED, r"scale_fmt is 'log'"),
        (DEEPSEEK, {"rotation": "hadamard"}, UNSUPPORTED, r"quantization_config\.'rotation' is not applied"),
        (DEEPSEEK, {"weight_block_size": [128]}, FORMAT, r"weight_block_size has 1 sizes"),
        (DEEPSEEK, {"weight_block_size": [0, 128]}, FORMAT, r"weight_block_size has the size 0"),
        (DEEPSEEK, {"weight_block_size": [128, 2**31]}, FORMAT, r"weight_block_size has the size 2147483648"),
        (DEEPSEEK, {"weight_block_size": [128.0, 1]}, FORMAT, r"weight_block_size has the size 128\.0"),
        (DEEPSEEK, {"weight_block_size": "128"}, FORMAT, r"weight_block_size is '128', a list"),
        (compressed("channel"), {"format": "pack-quantized"}, UNSUPPORTED, r"format is 'pack-quantized'"),
        (compressed("channel"), {"quantization_status": "initialized"}, UNSUPPORTED, "quantization_status"),
        (compressed("channel"), {"transform_config": {"a": {}}}, UNSUPPORTED, r"transform_config\.'a'"),
        (compressed("channel"), {"sparsity_config": {"format": "sparse-24"}}, UNSUPPORTED, "sparsity_config"),
        (compressed("channel"), {"config_groups": None}, FORMAT, r"is \[\]|asks for"),
        (compressed("channel"), {"config_groups": 3}, FORMAT, r"config_groups is 3, an object"),
        (compressed("channel"), {f"{WEIGHTS}__num_bits": 4}, UNSUPPORTED, r"group_0\.weights\.num_bits is 4"),
        (compressed("channel"), {f"{WEIGHTS}__type": "int"}, UNSUPPORTED, r"weights\.type is 'int'"),
        (compressed("channel"), {f"{WEIGHTS}__symmetric": False}, UNSUPPORTED, r"symmetric is false"),
        (compressed("channel"), {f"{WEIGHTS}__strategy": "tensor_group"}, UNSUPPORTED, r"strategy is 'tensor_g"),
        (compressed("channel"), {f"{WEIGHTS}__actorder": "group"}, UNSUPPORTED, r"actorder is 'group'"),
        (compressed("channel"), {f"{WEIGHTS}__group_size": 64}, UNSUPPORTED, r"group_size is 64"),
        (compressed("channel"), {f"{WEIGHTS}__strategy": "block"}, FORMAT, r"block_structure is missing"),
        (compressed("channel"), {f"{WEIGHTS}__strategy": "group"}, FORMAT, r"group_size is missing"),
        (MODELOPT, {"quant_algo": "NVFP4"}, UNSUPPORTED, r"quant_algo is 'NVFP4'"),
        (DEEPSEEK, {"quant_method": "mxfp4"}, UNSUPPORTED, r"'fmt' is not applied"),
    ],
)  # fmt: skip
def test_what_a_configuration_says_and_is_not_applied_is_named(
    tmp_path: Path, config: dict[str, Any], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    block, ending = ((128, 128), "_scale_inv") if config is DEEPSEEK else ((1, 10**6), "_scale")
    fp8, _ = fp8_folders(write_folder(tmp_path / "f32", FAMILIES["qwen3"]), block, config, ending=ending)
    refused(change_config(fp8, **json.loads(json.dumps(changes))), error, message)


def test_two_sizes_of_blocks_are_refused(tmp_path: Path) -> None:
    config = compressed("block", block_structure=[16, 16])
    other = compressed("block", block_structure=[32, 32])["config_groups"]["group_0"]
    config["config_groups"]["group_1"] = other
    fp8, _ = fp8_folders(llama_folder(tmp_path), (16, 16), config, ending="_scale")
    refused(fp8, errors.ModelFormatError, "config_groups has blocks of 2 sizes")


def test_a_type_of_the_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    fp8, _ = fp8_folders(llama_folder(tmp_path), (128, 128), DEEPSEEK)
    config = json.loads((fp8 / "config.json").read_text())
    (fp8 / "config.json").write_text(json.dumps(config | {"torch_dtype": "float8_e4m3fn"}))
    refused(fp8, errors.UnsupportedModelError, "torch_dtype is 'float8_e4m3fn'")
