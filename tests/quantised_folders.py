"""Hugging Face folders in FP8 and MXFP4, and the floats they stand for by plain arithmetic, without torch."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.hf_folders import Typed, as_dtype, write_weights

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]


def small_float(code: int, exponent_bits: int, mantissa_bits: int) -> float:
    """A sign, an exponent and a mantissa, as IEEE 754 would have it without its infinities."""
    sign = -1.0 if code >> 7 else 1.0
    exponent = code >> mantissa_bits & ((1 << exponent_bits) - 1)
    mantissa = (code & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    bias = (1 << (exponent_bits - 1)) - 1
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias)
    return sign * (1.0 + mantissa) * 2.0 ** (exponent - bias)


E4M3 = np.array([np.nan if c & 127 == 127 else small_float(c, 4, 3) for c in range(256)], np.float32)
E5M2 = np.array([np.nan if c & 124 == 124 else small_float(c, 5, 2) for c in range(256)], np.float32)
E8M0 = np.array([2.0 ** (c - 127) if c < 255 else np.nan for c in range(256)], np.float32)
TABLES = {"F8_E4M3": E4M3, "F8_E5M2": E5M2}
# A sign, two bits of exponent, one of mantissa. OCP Microscaling Formats 1.0.
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)

DEEPSEEK: dict[str, Any] = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "weight_block_size": [128, 128],
}
FLOAT8 = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False}
GPT_OSS: dict[str, Any] = {
    "quant_method": "mxfp4",
    "modules_to_not_convert": [
        "model.layers.*.self_attn",
        "model.layers.*.mlp.router",
        "model.embed_tokens",
        "lm_head",
    ],
}


def nearest(values: npt.NDArray[Any], kind: str) -> Codes:
    """The codes whose numbers are nearest."""
    table = TABLES[kind]
    order = np.argsort(table)[: np.isfinite(table).sum()]
    between = (table[order][1:].astype(np.float64) + table[order][:-1]) / 2
    return order[np.searchsorted(between, values)].astype(np.uint8)


def spread(grid: npt.NDArray[Any], rows: int, columns: int, block: tuple[int, int]) -> npt.NDArray[Any]:
    """A scale for each element, of a grid [..., R, C] of them."""
    by_row = np.repeat(grid, min(block[0], rows), -2)
    return np.repeat(by_row, min(block[1], columns), -1)[..., :rows, :columns]


def quantise(
    values: Floats, block: tuple[int, int] | None, kind: str = "F8_E4M3", scale_type: str = "F32"
) -> tuple[Codes, npt.NDArray[Any], Floats]:
    """Codes, scales as they are stored, and the products in float32. `block` None: one scale a matrix."""
    *stack, rows, columns = values.shape
    block = block or (rows, columns)
    grid = (*stack, -(-rows // block[0]), -(-columns // block[1]))
    largest = np.zeros(grid, np.float32)
    for place in np.ndindex(grid):
        r, c = place[-2] * block[0], place[-1] * block[1]
        largest[place] = np.abs(values[(*place[:-2], slice(r, r + block[0]), slice(c, c + block[1]))]).max()
    scale = (largest / np.nanmax(TABLES[kind]) + np.float32(1e-12)).astype(np.float32)
    stored: npt.NDArray[Any]
    if scale_type == "F8_E8M0":
        exponents = np.clip(np.ceil(np.log2(scale)) + 127, 0, 254).astype(np.uint8)
        stored, scale = Typed.of(exponents, "F8_E8M0"), E8M0[exponents]
    else:
        stored = as_dtype(scale, scale_type)
        scale = (
            (stored.astype(np.uint32) << 16).view(np.float32)
            if scale_type == "BF16"
            else stored.astype(np.float32)
        )
    all_scales = spread(scale, rows, columns, block)
    codes = nearest(values / all_scales, kind)
    return codes, stored, TABLES[kind][codes] * all_scales.astype(np.float32)


def read_floats(folder: Path) -> dict[str, Floats]:
    """The float32 tensors of a folder's one file."""
    data = (folder / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(data, "<f4", (end - begin) // 4, 8 + n + begin).reshape(entry["shape"])
        for name, entry in header.items()
        for begin, end in [entry["data_offsets"]]
    }


def is_matrix(name: str, values: Floats) -> bool:
    """What FP8 folders have quantised, and some more: heads and embeddings."""
    return values.ndim > 1 and not name.endswith(
        ("bias", "gate.weight", "router.layer.weight", "router.weight")
    )


def fp8_folders(
    folder: Path,
    block: tuple[int, int] | None,
    quantization: Mapping[str, Any],
    *,
    kind: str = "F8_E4M3",
    scale_type: str = "F32",
    ending: str = "_scale_inv",
    dtype: str = "BF16",
    shards: int = 1,
    chosen: Callable[[str, Floats], bool] = is_matrix,
    squeezed: bool = False,
) -> tuple[Path, Path]:
    """A float32 folder as FP8, and beside it in `dtype` with the products of codes and scales, rounded once."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    plain: dict[str, npt.NDArray[Any]] = {}
    for name, values in read_floats(folder).items():
        if not chosen(name, values):
            plain[name] = tensors[name] = values
            continue
        codes, scales, floats = quantise(values, block, kind, scale_type)
        tensors[name] = Typed.of(codes, kind)
        tensors[name + ending] = scales.reshape(values.shape[:-2]) if squeezed else scales
        plain[name] = as_dtype(floats, dtype)
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype", None)
    config["torch_dtype"] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype]
    for where, weights, more in (
        ("fp8", tensors, {"quantization_config": dict(quantization)}),
        ("plain", plain, {}),
    ):
        to = folder.parent / where
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors"))
        (to / "config.json").write_text(json.dumps(config | more))
        write_weights(to, weights, shards)
    return folder.parent / "fp8", folder.parent / "plain"


def rewrite(folder: Path, change: Callable[[dict[str, npt.NDArray[Any]]], None]) -> Path:
    """The folder with its tensors changed, types and all."""
    data = (folder / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    header.pop("__metadata__", None)
    sizes = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(data[8 + n + begin : 8 + n + end], sizes.get(entry["dtype"], np.uint8)).reshape(
            entry["shape"]
        )
        tensors[name] = (
            raw.copy() if entry["dtype"] in (*sizes, "U8") else Typed.of(raw.copy(), entry["dtype"])
        )
    change(tensors)
    write_weights(folder, tensors)
    return folder


def compressed(strategy: str, **weights: Any) -> dict[str, Any]:
    """As llm-compressor writes it."""
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "global_compression_ratio": 1.23,
        "ignore": ["lm_head", "re:.*mlp.gate$"],
        "kv_cache_scheme": None,
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.11.0",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "format": None,
                "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True},
                "output_activations": None,
                "weights": FLOAT8
                | {"strategy": strategy, "observer": "minmax", "observer_kwargs": {}, "group_size": None}
                | weights,
            }
        },
    }


def is_expert(name: str) -> bool:
    return name.endswith(("experts.gate_up_proj", "experts.down_proj"))


def floats(blocks: Codes, scales: Codes) -> npt.NDArray[np.float32]:
    """[..., G, 16] and [..., G] to [..., G * 32]: byte i holds elements 2i, in its low half, and 2i + 1."""
    values = np.stack([E2M1[blocks & 15], E2M1[blocks >> 4]], axis=-1).reshape(*scales.shape, 32)
    return (values * E8M0[scales][..., None]).reshape(*scales.shape[:-1], -1)


def random_experts(shape: tuple[int, ...], seed: int) -> tuple[Codes, Codes]:
    """Any codes, under scales that make weights of a model."""
    rng = np.random.default_rng(seed)
    experts, rows, columns = shape
    blocks = rng.integers(0, 256, (experts, rows, columns // 32, 16), np.uint8)
    return blocks, rng.integers(121, 124, blocks.shape[:-1]).astype(np.uint8)


def dequantised(folder: Path, experts: dict[str, tuple[Codes, Codes]]) -> Path:
    """The same folder with float32 experts, column by column."""
    to = folder.parent / "floats"
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    del config["quantization_config"]
    (to / "config.json").write_text(json.dumps(config))

    def change(tensors: dict[str, Any]) -> None:
        for name, (blocks, scales) in experts.items():
            del tensors[name + "_blocks"], tensors[name + "_scales"]
            tensors[name] = np.ascontiguousarray(floats(blocks, scales).swapaxes(1, 2))

    return rewrite(to, change)


def change_config(folder: Path, **changes: Any) -> Path:
    """Keys of quantization_config; those with dots lead into it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        *way, last = key.split("__")
        part = config["quantization_config"]
        for name in way:
            part = part[name]
        part[last] = value
    path.write_text(json.dumps(config))
    return folder
