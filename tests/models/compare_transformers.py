"""Random models that transformers saves as folders, and its float32 logits beside ours. Needs torch and transformers:

    PYTHONPATH=python:. python -m tests.models.compare_transformers [FIRST_LETTERS...]

Prints the largest difference relative to the largest logit for each, and fails above 1e-4 (`kv_dtype="f32"`). Sizes
are odd, windows shorter than the text, and each option that changes the arithmetic is there once.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from nextoken import LLM
from tests.models import decoder_cases

N_IDS, LIMIT = 300, 1e-4
SIZES = {
    "vocab_size": 331,
    "hidden_size": 96,
    "intermediate_size": 152,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
    "rope_theta": 500000.0,
}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 3000.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 20000.0}
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "long_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0],
    "short_factor": [1.0, 1.0, 1.02, 1.1, 1.2, 1.25],
    "original_max_position_embeddings": 128,
    "partial_rotary_factor": 0.75,
}
GEMMA = {"head_dim": 24, "num_attention_heads": 4, "num_key_value_heads": 1}
GEMMA3 = GEMMA | {"num_hidden_layers": 8, "sliding_window": 33, "query_pre_attn_scalar": 17}
WINDOW = {"use_sliding_window": True, "sliding_window": 37}
EXPERTS = {"num_experts_per_tok": 3, "moe_intermediate_size": 40}
MULTIPLIERS = {
    "embedding_multiplier": 6.0,
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.07,
    "logits_scaling": 4.0,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama tied, wide heads": ("Llama", {"tie_word_embeddings": True, "head_dim": 40}),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, linear positions": ("Llama", {"rope_parameters": LINEAR}),
    "llama, scaled as Llama 3": ("Llama", {"rope_parameters": LLAMA3}),
    "llama, yarn": ("Llama", {"rope_parameters": YARN}),
    "llama, yarn, not truncated": ("Llama", {"rope_parameters": YARN | {"truncate": False}}),
    "llama, yarn, scales": (
        "Llama",
        {
            "rope_parameters": YARN
            | {"mscale": 0.7, "mscale_all_dim": 1.2, "beta_fast": 20.0, "beta_slow": 0.5}
        },
    ),
    "llama, yarn, attention factor": ("Llama", {"rope_parameters": YARN | {"attention_factor": 1.3}}),
    "llama, dynamic": ("Llama", {"rope_parameters": DEFAULT | {"rope_type": "dynamic", "factor": 2.0}}),
    "llama, dynamic, past the context": (
        "Llama",
        {
            "max_position_embeddings": 128,
            "rope_parameters": DEFAULT | {"rope_type": "dynamic", "factor": 2.0},
        },
    ),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral, a window": ("Mistral", {"sliding_window": 33, "head_dim": 20}),
    "mixtral": ("Mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "mixtral, a window": (
        "Mixtral",
        {"num_local_experts": 5, "num_experts_per_tok": 3, "sliding_window": 50},
    ),
    "qwen2": ("Qwen2", {}),
    "qwen2, windows": ("Qwen2", WINDOW | {"max_window_layers": 1, "tie_word_embeddings": True}),
    "qwen2, yarn": ("Qwen2", {"rope_parameters": YARN}),
    "qwen3": ("Qwen3", {"head_dim": 20}),
    "qwen3, windows, biases": (
        "Qwen3",
        WINDOW | {"max_window_layers": 2, "attention_bias": True, "head_dim": 32},
    ),
    "qwen2 moe": ("Qwen2Moe", EXPERTS | {"num_experts": 7, "shared_expert_intermediate_size": 56}),
    "qwen2 moe, normed, windows": (
        "Qwen2Moe",
        EXPERTS
        | WINDOW
        | {
            "num_experts": 7,
            "shared_expert_intermediate_size": 56,
            "norm_topk_prob": True,
            "qkv_bias": False,
        },
    ),
    "qwen3 moe": ("Qwen3Moe", EXPERTS | {"num_experts": 9, "head_dim": 24, "norm_topk_prob": True}),
    "qwen3 moe, windows": ("Qwen3Moe", EXPERTS | WINDOW | {"num_experts": 9, "head_dim": 24}),
    "phi3": ("Phi3", {"sliding_window": 41}),
    "phi3, longrope": ("Phi3", {"rope_parameters": LONG, "original_max_position_embeddings": 128}),
    "phi3, longrope, short": (
        "Phi3",
        {"rope_parameters": LONG, "original_max_position_embeddings": 400, "tie_word_embeddings": True},
    ),
    "seed-oss": ("SeedOss", {"head_dim": 20}),
    "seed-oss, other biases": (
        "SeedOss",
        {"attention_bias": False, "attention_out_bias": True, "mlp_bias": True, "rope_parameters": YARN},
    ),
    "smollm3": ("SmolLM3", {"num_hidden_layers": 5}),
    "smollm3, windows, biases": (
        "SmolLM3",
        WINDOW | {"no_rope_layers": [1, 0, 0], "attention_bias": True, "mlp_bias": True},
    ),
    "gemma": ("Gemma", GEMMA | {"attention_bias": True}),
    "gemma2": ("Gemma2", GEMMA | {"sliding_window": 33, "query_pre_attn_scalar": 17}),
    "gemma2, no caps": (
        "Gemma2",
        GEMMA
        | {
            "sliding_window": 33,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
    ),
    "gemma3": ("Gemma3Text", GEMMA3),
    "gemma3, a soft cap, linear positions": (
        "Gemma3Text",
        GEMMA3
        | {
            "final_logit_softcapping": 3.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": DEFAULT,
            },
        },
    ),
    "olmo2": ("Olmo2", {}),
    "olmo2, biases": ("Olmo2", {"attention_bias": True, "rope_parameters": LLAMA3}),
    "olmo3": (
        "Olmo3",
        {
            "num_hidden_layers": 5,
            "sliding_window": 35,
            "rope_parameters": {"full_attention": YARN, "sliding_attention": DEFAULT},
        },
    ),
    "olmoe": ("Olmoe", {"num_experts": 7, "num_experts_per_tok": 3}),
    "olmoe, normed": ("Olmoe", {"num_experts": 7, "num_experts_per_tok": 3, "norm_topk_prob": True}),
    "granite": ("Granite", MULTIPLIERS),
    "granite, biases": (
        "Granite",
        MULTIPLIERS | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "granitemoe": ("GraniteMoe", MULTIPLIERS | {"num_local_experts": 6, "num_experts_per_tok": 2}),
    "granitemoe, biases": (
        "GraniteMoe",
        MULTIPLIERS
        | {
            "num_local_experts": 5,
            "num_experts_per_tok": 3,
            "attention_bias": True,
            "tie_word_embeddings": True,
        },
    ),
    "gpt-oss": (
        "GptOss",
        {
            "num_hidden_layers": 4,
            "head_dim": 24,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 37,
            "rope_parameters": YARN | {"truncate": False},
        },
    ),
    "gpt-oss, truncated, no biases": (
        "GptOss",
        {
            "head_dim": 16,
            "num_local_experts": 7,
            "num_experts_per_tok": 3,
            "sliding_window": 50,
            "attention_bias": False,
            "rope_parameters": YARN,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
    ),
}
ONE_PLUS = ("Gemma", "Gemma2", "Gemma3Text", "Nemotron")  # norms multiply by 1 + weight


def make(family: str, options: dict[str, Any], gain: float | None = None) -> Any:
    """A random model whose norms are not all one; with `gain`, matrices of any size have an effect of it."""
    torch.manual_seed(3)
    sizes = {} if "vocab_size" in options else SIZES
    # Its eager attention adds Falcon's distances twice.
    attention = "sdpa" if family == "Falcon" else "eager"
    config = getattr(transformers, family + "Config")(**(sizes | options), attn_implementation=attention)
    config._experts_implementation = "eager"  # the others want sizes that are multiples of four
    name = decoder_cases.CLASSES.get(family, family.removesuffix("Text") + "ForCausalLM")
    model = getattr(transformers, name)(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread = 0.15 if gain is None else gain * weight.shape[-1] ** -0.5
            weight.normal_(0.1 if weight.ndim == 1 else 0.0, 0.2 if weight.ndim == 1 else spread)
            if weight.ndim == 1 and name.endswith("weight") and family not in ONE_PLUS:
                weight.add_(1.0)
    return model


def main(names: list[str]) -> None:
    logging.getLogger("nextoken").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    ids = np.random.default_rng(0).integers(0, SIZES["vocab_size"], N_IDS).tolist()
    worst, cases = 0.0, CASES | decoder_cases.CASES
    for name in cases:
        if names and not name.startswith(tuple(names)):
            continue
        family, options = cases[name]
        model = make(family, options)
        with torch.no_grad():
            expected = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
        for shard_size in ("1GB", "200KB"):
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder, max_shard_size=shard_size)
                n_files = len(list(Path(folder).glob("*.safetensors")))
                with LLM(folder, kv_dtype="f32", n_ctx=N_IDS) as llm:
                    found = np.asarray(llm([ids]))[0]
            difference = float(np.abs(found - expected).max() / np.abs(expected).max())
            print(f"{name}: {n_files} files, {difference:.1e}, logits up to {np.abs(expected).max():.3g}")
            worst = max(worst, difference)
    if worst > LIMIT:
        raise SystemExit(f"a difference of {worst:.1e} is above {LIMIT}")


if __name__ == "__main__":
    main(sys.argv[1:])
