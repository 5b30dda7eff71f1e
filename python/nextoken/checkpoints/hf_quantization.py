"""What a folder says about its weights of eight or four bits: quantization_config, and in hf_quant_config.json.

Which weights are quantised is what their types say; which modules were left out (`ignore` and the like) says the same
again. How activations were rounded (`input_scale`, `activation_scheme`, caches) is left out: they are more exact here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.tensors import FLOATS

BESIDE = "hf_quant_config.json"  # modelopt's, where config.json says nothing
MOST_BYTES = 16 << 20
METHODS = ("fp8", "compressed-tensors", "modelopt", "mxfp4")
STORED = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
FP8 = ("float-quantized", "naive-quantized")  # formats of compressed-tensors
ALGORITHMS = {"FP8": "tensor", "FP8_PER_CHANNEL_PER_TOKEN": "channel", "FP8_PB_WO": "block", None: "tensor"}
DEEPSEEK = (128, 128)
# Keys that say nothing about the weights: what was left out, how to run them, how they were made.
HARMLESS = frozenset({
    "activation_scheme", "dequantize", "exclude_modules", "global_compression_ratio", "ignore", "ignored_layers",
    "input_activations", "kv_cache_quant_algo", "kv_cache_scheme", "modules_to_convert", "modules_to_not_convert",
    "observer", "observer_kwargs", "output_activations", "producer", "run_compressed", "scale_dtype", "targets",
    "use_optimized_inference", "version", "zp_dtype",
})  # fmt: skip


@dataclass(frozen=True)
class Quantization:
    """`method` None: everything is as its type says.

    FP8: a scale for a tensor, each of its rows ("channel") or each block of (rows, columns), whichever of `strategies`
    fits the scales. Products are stored as `stored_type`, GGUF's number of the checkpoint's type, unless the user asks
    for another. `exponents`: scales of type U8 are e8m0.
    """

    method: str | None = None
    strategies: tuple[str, ...] = ()
    block: tuple[int, int] = DEEPSEEK
    exponents: bool = False
    stored_type: int = FLOATS["bf16"]


def quantization(config: ConfigJson) -> Quantization:
    """What config.json says, or hf_quant_config.json beside it.

    Raises UnsupportedModelError for a method, or a key or value of it, that may change weights and is not applied;
    ModelFormatError for what is no such object. Both name the key.
    """
    beside = os.path.join(os.path.dirname(config.path), BESIDE)
    if config.has("quantization_config"):
        said = config.part("quantization_config")
        method = said.only("quant_method", METHODS, None)
    elif os.path.exists(beside):
        from nextoken.checkpoints.json_file import read_json  # here: GGUF files need no json

        values = read_json(beside, MOST_BYTES)
        said = ConfigJson(values, beside, allow_unused=config.allow_unused).part("quantization")
        method = "modelopt"
    else:
        return Quantization()
    found = {"fp8": _fp8, "mxfp4": _mxfp4, "modelopt": _modelopt, "compressed-tensors": _compressed}[method](
        said
    )
    said.require_all_read(HARMLESS)
    dtype = config.only("dtype" if config.has("dtype") else "torch_dtype", (*STORED, None), None)
    return Quantization(**found, method=method, stored_type=FLOATS[STORED[dtype or "bfloat16"]])


def _fp8(said: ConfigJson) -> dict[str, Any]:
    """As DeepSeek V3 and Qwen 3 have it: blocks, or without weight_block_size a scale a tensor."""
    said.only("fmt", ("e4m3", "e5m2", None), None)
    said.only("expert_dtype", ("fp8", None), None)
    scales = said.only("scale_fmt", ("float", "ue8m0", None), None)
    found: dict[str, Any] = {"strategies": ("tensor",), "exponents": scales == "ue8m0"}
    if said.is_null("weight_block_size"):
        return found
    block = _block(said, "weight_block_size") if said.has("weight_block_size") else DEEPSEEK
    return {**found, "strategies": ("tensor", "block"), "block": block}


def _mxfp4(_said: ConfigJson) -> dict[str, Any]:
    """gpt-oss: blocks of 32 along a row, as the Microscaling formats define them."""
    return {}


def _modelopt(said: ConfigJson) -> dict[str, Any]:
    strategy = ALGORITHMS[said.only("quant_algo", tuple(ALGORITHMS), None)]
    if said.has("config_groups"):
        return _groups(said, strategy)
    return {"strategies": (strategy,)}


def _compressed(said: ConfigJson) -> dict[str, Any]:
    said.only("format", FP8, None)
    said.only("quantization_status", ("compressed", "frozen", None), None)
    sparsity = said.part("sparsity_config") if said.has("sparsity_config") else None
    if sparsity is not None and sparsity.names():
        sparsity.only("format", ("dense", None), None)  # then the rest tells how many are zero
    if said.has("transform_config"):
        said.part("transform_config").require_all_read()
    return _groups(said, "tensor")


def _groups(said: ConfigJson, default: str) -> dict[str, Any]:
    """config_groups: which strategies there are, whatever modules they are for."""
    strategies: list[str] = []
    blocks: list[tuple[int, int]] = []
    groups = said.part("config_groups")
    for name in groups.names():
        group = groups.part(name)
        group.only("format", (*FP8, None), None)
        if group.has("weights"):
            weights = group.part("weights")
            weights.only("num_bits", (8,), None)
            weights.only("type", ("float",), None)
            weights.only("symmetric", (True, None), None)
            weights.only("dynamic", (False, None), None)
            weights.only("actorder", (None,), None)
            strategy = (
                weights.only("strategy", ("tensor", "channel", "block", "group", None), None) or default
            )
            if strategy == "block":
                blocks.append(_block(weights, "block_structure"))
            elif strategy == "group":
                blocks.append((1, _size(weights, "group_size", weights.integer("group_size"))))
            weights.only("group_size", (None, -1) if strategy != "group" else (blocks[-1][1],), None)
            weights.only("block_structure", (None,) if strategy != "block" else (list(blocks[-1]),), None)
            weights.require_all_read(HARMLESS)
            strategies.append("block" if strategy == "group" else strategy)
        group.require_all_read(HARMLESS)
    if len(set(blocks)) > 1:
        raise said.error(
            "config_groups", f"has blocks of {len(set(blocks))} sizes, which scales do not tell apart"
        )
    return {"strategies": tuple(dict.fromkeys(strategies)), "block": blocks[0] if blocks else DEEPSEEK}


def _block(said: ConfigJson, key: str) -> tuple[int, int]:
    sizes = said.items(key)
    if len(sizes) != 2:
        raise said.error(key, f"has {len(sizes)} sizes, rows and columns were expected")
    return _size(said, key, sizes[0]), _size(said, key, sizes[1])


def _size(said: ConfigJson, key: str, size: Any) -> int:
    if type(size) is not int or not 1 <= size < 2**31:
        raise said.error(key, f"has the size {str(size)[:32]}, 1 to {2**31 - 1} was expected")
    return size
