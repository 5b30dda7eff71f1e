"""Folders in FP8 and MXFP4 that transformers multiplies out itself, and its float32 logits beside ours. Needs torch,
transformers, accelerate and compressed-tensors:

    PYTHONPATH=python:. python -m tests.models.compare_quantised

Prints the largest difference relative to the largest logit, and fails above 1e-4. FP8 is loaded with dtype="f32", so
that both have the same floats. Sizes are whole blocks: transformers takes no others. Products of MXFP4 take activations
in eight bits here, so that transformers' are compared with the folder that NumPy made of the same codes.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from nextoken import LLM
from tests.hf_folders import write_weights
from tests.models.compare_transformers import LIMIT, N_IDS, SIZES, make
from tests.quantised_folders import (
    DEEPSEEK,
    GPT_OSS,
    Floats,
    compressed,
    dequantised,
    fp8_folders,
    is_expert,
    random_experts,
    read_floats,
)

WHOLE = {"intermediate_size": 160, "head_dim": 32}
BLOCKS = DEEPSEEK | {"weight_block_size": [32, 32]}
ONE = DEEPSEEK | {"weight_block_size": None}
EXPERTS = WHOLE | {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
LATENTS = {
    "intermediate_size": 160,
    "num_key_value_heads": 6,
    "kv_lora_rank": 64,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 64,
    "first_k_dense_replace": 1,
    "n_group": 4,
    "topk_group": 2,
}
MULTIPLIED = {"dequantize": True}  # transformers would round activations to eight bits as well
WIDE = {"intermediate_size": 160, "hidden_size": 160, "head_dim": 40}
# Of a model: its configuration, quantization_config, rows and columns of a block, how scales end, what type they are.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[int, int] | None, str, str]] = {
    "llama, blocks": ("Llama", WHOLE, BLOCKS, (32, 32), "_scale_inv", "F32"),
    "llama, blocks, bf16 scales": ("Llama", WHOLE, BLOCKS, (32, 32), "_scale_inv", "BF16"),
    "llama, blocks, ue8m0": (
        "Llama", WHOLE, BLOCKS | {"scale_fmt": "ue8m0"}, (32, 32), "_scale_inv", "F8_E8M0",
    ),
    "mistral, a scale a tensor": ("Mistral", WHOLE, ONE, None, "_scale_inv", "F32"),
    "qwen3, flat blocks": (
        "Qwen3", WIDE, BLOCKS | {"weight_block_size": [8, 80]}, (8, 80), "_scale_inv", "F32",
    ),
    "qwen3 moe": ("Qwen3Moe", EXPERTS, BLOCKS, (32, 32), "_scale_inv", "F32"),
    "deepseek v3": ("DeepseekV3", LATENTS, BLOCKS, (32, 32), "_scale_inv", "F32"),
    "compressed-tensors, rows": ("Llama", WHOLE, compressed("channel") | MULTIPLIED, (1, 10**6), "_scale", "F32"),
    "compressed-tensors, blocks": (
        "Llama", WHOLE, compressed("block", block_structure=[32, 32]) | MULTIPLIED, (32, 32), "_scale", "F32",
    ),
}  # fmt: skip


def chosen(name: str, values: Floats) -> bool:
    return "_proj" in name and values.ndim > 1


def theirs(folder: Path, ids: list[int]) -> Floats:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    assert not any(weight.dtype.itemsize == 1 for weight in model.parameters())
    with torch.no_grad():
        result: Floats = model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()
    return result


def ours(folder: Path, ids: list[int], **options: Any) -> Floats:
    with LLM(folder, kv_dtype="f32", n_ctx=N_IDS, **options) as llm:
        return np.asarray(llm([ids]))[0]


def difference(actual: Floats, expected: Floats) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def gpt_oss(folder: Path) -> tuple[Path, Path]:
    """With experts in MXFP4, and in floats."""
    sizes = {"head_dim": 16, "hidden_size": 96, "intermediate_size": 160, "sliding_window": 37}
    make("GptOss", sizes | {"num_local_experts": 5, "num_experts_per_tok": 2}).save_pretrained(folder)
    experts, tensors = {}, dict[str, Any]()
    for i, (name, values) in enumerate(read_floats(folder).items()):
        if is_expert(name):
            experts[name] = random_experts((len(values), values.shape[2], values.shape[1]), i)
            tensors[name + "_blocks"], tensors[name + "_scales"] = experts[name]
        else:
            tensors[name] = values
    write_weights(folder, tensors)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": GPT_OSS}))
    return folder, dequantised(folder, experts)


def main() -> None:
    logging.getLogger("nextoken").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    ids = np.random.default_rng(0).integers(0, SIZES["vocab_size"], N_IDS).tolist()
    worst = 0.0
    for name, (family, options, quantization, block, ending, scale_type) in CASES.items():
        with tempfile.TemporaryDirectory() as temporary:
            saved = Path(temporary) / "f32"
            make(family, options).save_pretrained(saved)
            fp8, _ = fp8_folders(
                saved, block, quantization, ending=ending, scale_type=scale_type, chosen=chosen
            )
            off = difference(ours(fp8, ids, dtype="f32"), theirs(fp8, ids))
        print(f"{name}: {off:.1e}")
        worst = max(worst, off)
    with tempfile.TemporaryDirectory() as temporary:
        mxfp4, floats = gpt_oss(Path(temporary) / "hf")
        off = difference(ours(floats, ids), theirs(mxfp4, ids))
        print(f"gpt-oss, MXFP4: {off:.1e}")
        worst = max(worst, off)
    if worst > LIMIT:
        raise SystemExit(f"a difference of {worst:.1e} is above {LIMIT}")


if __name__ == "__main__":
    main()
