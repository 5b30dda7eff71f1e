"""The tiny families as Hugging Face folders, with the names that are on the disk where transformers' own differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.families.family import Family, Weights, weights
from tests.families.tiny import split_experts
from tests.hf_folders import as_dtype, write_weights

MIXTRAL = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def granite_name(name: str) -> str:
    for theirs, disk in (
        ("experts.gate_up_proj", "input_linear.weight"),
        ("experts.down_proj", "output_linear.weight"),
        ("router.weight", "router.layer.weight"),
    ):
        name = name.replace("block_sparse_moe." + theirs, "block_sparse_moe." + disk)
    return name


def on_disk_experts(weights: Weights) -> Weights:
    """One tensor for each matrix of each expert, everything else as it is."""
    result = {}
    for name, value in split_experts(weights).items():
        where, _, matrix = name.partition(".experts.")
        if matrix:
            for e, part in enumerate(value):
                result[f"{where}.experts.{e}.{matrix}"] = part
        else:
            result[name] = value
    return result


def on_disk(family: Family) -> Weights:
    """The weights by the names that folders have: one tensor for each matrix of each expert."""
    kind = family.hf["model_type"]
    if kind == "gpt_oss":
        return weights(family)
    if kind in ("granitemoe", "granitemoeshared"):
        return {granite_name(name): value for name, value in weights(family).items()}
    result = {}
    mixtral = kind == "mixtral"
    for name, value in split_experts(weights(family)).items():
        where, _, matrix = name.partition(".experts.")
        if mixtral:
            where = where.replace(".mlp", ".block_sparse_moe")
        if matrix:
            matrix = matrix.removesuffix(".weight")
            for e, part in enumerate(value):
                result[f"{where}.experts.{e}.{MIXTRAL[matrix] if mixtral else matrix}.weight"] = part
        else:
            result[where if value.ndim > 1 or "shared_expert_gate" not in name else name] = (
                value[None] if "shared_expert_gate" in name else value
            )
    return result


def write_folder(
    folder: Path, family: Family, dtype: str = "F32", config: Mapping[str, Any] | None = None
) -> Path:
    """config.json, with `config` over the family's, and matrices in `dtype`."""
    folder.mkdir(parents=True)
    written = family.hf | dict(config or {})
    (folder / "config.json").write_text(json.dumps(written))
    tensors = {
        name: as_dtype(value, dtype) if value.ndim > 1 else value.astype(np.float32)
        for name, value in on_disk(family).items()
    }
    write_weights(folder, tensors)
    return folder
