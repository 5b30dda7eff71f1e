"""Families with one feed-forward a layer."""

from __future__ import annotations

import numpy as np

from tests.families.family import BEHIND, QKV, Family
from tests.families.positions import DEFAULT, LLAMA3, LONG, LONGROPE, YARN, YARN_KEYS, llama3_factors

GEMMA = {
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 24,
    "tie_word_embeddings": True,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
}
FAMILIES: dict[str, Family] = {
    "llama": Family("llama", {"model_type": "llama"}, permuted=True),
    "llama-biases": Family(
        "llama",
        {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
        permuted=True,
        biases=(*QKV, "o", "gate", "up", "down"),
    ),
    "llama-3": Family(
        "llama",
        {"model_type": "llama", "rope_parameters": LLAMA3},
        permuted=True,
        rope_factors={"rope_freqs.weight": llama3_factors()},
    ),
    "llama-yarn": Family(
        "llama",
        {"model_type": "llama", "rope_parameters": YARN},
        YARN_KEYS,
        permuted=True,
    ),
    "mistral": Family(
        "llama",
        {"model_type": "mistral", "head_dim": 24, "num_attention_heads": 4, "sliding_window": None},
        permuted=True,
    ),
    "qwen2": Family(
        "qwen2", {"model_type": "qwen2", "tie_word_embeddings": True, "use_sliding_window": False}, biases=QKV
    ),
    "qwen3": Family("qwen3", {"model_type": "qwen3", "head_dim": 32, "use_sliding_window": False}),
    "phi3": Family(
        "phi3",
        {"model_type": "phi3", "sliding_window": 40, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
        {"attention.sliding_window": 40},
    ),
    "phi3-long": Family(
        "phi3",
        {
            "model_type": "phi3",
            "rope_parameters": LONGROPE,
            "original_max_position_embeddings": 128,
            "sliding_window": None,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
        },
        {
            "rope.scaling.type": "longrope",
            "rope.scaling.original_context_length": 128,
            "rope.scaling.attn_factor": float(np.sqrt(1 + np.log(4.0) / np.log(128.0))),
            "rope.dimension_count": 12,
        },
        rope_factors={
            "rope_factors_long.weight": LONG,
            "rope_factors_short.weight": LONGROPE["short_factor"],
        },
    ),
    "seed-oss": Family("seed_oss", {"model_type": "seed_oss", "head_dim": 32}, biases=QKV, names=BEHIND),
    "smollm3": Family(
        "smollm3",
        {"model_type": "smollm3", "no_rope_layers": [1, 1, 1, 0], "use_sliding_window": False},
        permuted=True,
    ),
    "gemma": Family("gemma", {"model_type": "gemma", **GEMMA}, norm_offset=1.0),
    "gemma2": Family(
        "gemma2",
        {
            "model_type": "gemma2",
            **GEMMA,
            "sliding_window": 40,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
            "query_pre_attn_scalar": 24,
        },
        {
            "attention.sliding_window": 40,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        norm_offset=1.0,
        names=BEHIND,
    ),
    "gemma3": Family(
        "gemma3",
        {
            "model_type": "gemma3_text",
            **GEMMA,
            "sliding_window": 40,
            "query_pre_attn_scalar": 24,
            "layer_types": [*["sliding_attention"] * 2, "full_attention", "sliding_attention"],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            },
        },
        {
            "attention.sliding_window": 40,
            "attention.sliding_window_pattern": 3,
            "rope.freq_base": 1e6,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
        norm_offset=1.0,
        names=BEHIND,
    ),
    "olmo2": Family("olmo2", {"model_type": "olmo2"}, names=BEHIND),
    "olmo3": Family(
        "olmo2",
        {
            "model_type": "olmo3",
            "sliding_window": 40,
            "layer_types": [*["sliding_attention"] * 3, "full_attention"],
            "rope_parameters": {"sliding_attention": DEFAULT, "full_attention": YARN},
        },
        {
            "attention.sliding_window": 40,
            "attention.sliding_window_pattern": [True, True, True, False],
            **YARN_KEYS,
        },
        names=BEHIND,
    ),
    "granite": Family(
        "granite",
        {
            "model_type": "granite",
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.03125,
            "logits_scaling": 4.0,
        },
        {"embedding_scale": 6.0, "residual_scale": 0.22, "attention.scale": 0.03125, "logit_scale": 4.0},
        permuted=True,
    ),
}
