"""Random models that transformers saves as folders, and its float32 logits beside ours. Needs torch and transformers:

    PYTHONPATH=python:. python -m tests.models.compare_transformers

Prints the largest difference relative to the largest logit for each, and fails above 1e-4 (`kv_dtype="f32"`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from nextoken import LLM

N_IDS, LIMIT = 300, 1e-4
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
SIZES = {
    "vocab_size": 331,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
GEMMA3 = {"num_hidden_layers": 8, "head_dim": 24, "sliding_window": 33, "query_pre_attn_scalar": 17}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"num_hidden_layers": 3}),
    "llama tied, wide heads": (
        "Llama",
        {"num_hidden_layers": 2, "tie_word_embeddings": True, "head_dim": 40},
    ),
    "llama, linear positions": (
        "Llama",
        {
            "num_hidden_layers": 2,
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 3000.0},
        },
    ),
    "llama, scaled as Llama 3": (
        "Llama",
        {"num_hidden_layers": 2, "rope_parameters": LLAMA3 | {"rope_theta": 500000.0}},
    ),
    "mistral": ("Mistral", {"num_hidden_layers": 2, "sliding_window": None}),
    "gemma3": ("Gemma3Text", GEMMA3),
    "gemma3, a soft cap, linear positions": (
        "Gemma3Text",
        GEMMA3
        | {
            "final_logit_softcapping": 3.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
}


def make(family: str, options: dict[str, Any]) -> Any:
    """A random model whose norms are not all one."""
    torch.manual_seed(3)
    config = getattr(transformers, family + "Config")(**(SIZES | options), attn_implementation="eager")
    model = getattr(transformers, family.removesuffix("Text") + "ForCausalLM")(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0.1 if weight.ndim == 1 else 0.0, 0.2 if weight.ndim == 1 else 0.15)
            if weight.ndim == 1 and family == "Llama":
                weight.add_(1.0)
            del name
    return model


def main() -> None:
    ids = np.random.default_rng(0).integers(0, SIZES["vocab_size"], N_IDS).tolist()
    worst = 0.0
    for name, (family, options) in CASES.items():
        model = make(family, options)
        with torch.no_grad():
            expected = model(torch.tensor([ids])).logits[0].numpy()
        for shard_size in ("1GB", "200KB"):
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder, max_shard_size=shard_size)
                n_files = len(list(Path(folder).glob("*.safetensors")))
                with LLM(folder, kv_dtype="f32") as llm:
                    found = np.asarray(llm([ids]))[0]
            difference = float(np.abs(found - expected).max() / np.abs(expected).max())
            print(f"{name}: {n_files} files, {difference:.1e}, logits up to {np.abs(expected).max():.3g}")
            worst = max(worst, difference)
    if worst > LIMIT:
        raise SystemExit(f"a difference of {worst:.1e} is above {LIMIT}")


if __name__ == "__main__":
    main()
