"""Families with mixtures of experts."""

from __future__ import annotations

from tests.families.family import BEHIND, QKV, Family
from tests.families.positions import YARN, YARN_KEYS

FAMILIES: dict[str, Family] = {
    "mixtral": Family(
        "llama",
        {"model_type": "mixtral", "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": None},
        {"expert_count": 5, "expert_used_count": 2},
        permuted=True,
    ),
    "qwen2moe": Family(
        "qwen2moe",
        {
            "model_type": "qwen2_moe",
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 96,
            "norm_topk_prob": False,
            "use_sliding_window": False,
        },
        {
            "expert_count": 6,
            "expert_used_count": 3,
            "expert_feed_forward_length": 64,
            "expert_shared_feed_forward_length": 96,
        },
        biases=QKV,
    ),
    "qwen3moe": Family(
        "qwen3moe",
        {
            "model_type": "qwen3_moe",
            "head_dim": 32,
            "num_experts": 7,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 64,
            "norm_topk_prob": True,
            "use_sliding_window": False,
        },
        {"expert_count": 7, "expert_used_count": 2, "expert_feed_forward_length": 64},
    ),
    "olmoe": Family(
        "olmoe",
        {"model_type": "olmoe", "num_experts": 6, "num_experts_per_tok": 2, "norm_topk_prob": False},
        {"expert_count": 6, "expert_used_count": 2},
    ),
    "granitemoe": Family(
        "granitemoe",
        {
            "model_type": "granitemoe",
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.03125,
            "logits_scaling": 4.0,
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "embedding_scale": 6.0,
            "residual_scale": 0.22,
            "attention.scale": 0.03125,
            "logit_scale": 4.0,
        },
        permuted=True,
    ),
    "granitemoe-shared": Family(
        "granitemoe",
        {
            "model_type": "granitemoeshared",
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 64,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.25,
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_shared_feed_forward_length": 64,
            "residual_scale": 0.5,
            "attention.scale": 0.25,
            "logit_scale": 1.0,
        },
        permuted=True,
    ),
    "gpt-oss": Family(
        "gpt-oss",
        {
            "model_type": "gpt_oss",
            "head_dim": 32,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 40,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "rope_parameters": YARN | {"truncate": False},
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_feed_forward_length": 160,
            "attention.sliding_window": 40,
            **YARN_KEYS,
        },
        biases=(*QKV, "o"),
        names=BEHIND,
    ),
}

# What folders say and files do not.
IN_FOLDERS: dict[str, Family] = {
    "qwen2moe-sparse": Family(
        "qwen2moe",
        dict(FAMILIES["qwen2moe"].config) | {"decoder_sparse_step": 2, "mlp_only_layers": [3]},
        biases=QKV,
    ),
    "qwen3moe-sparse": Family(
        "qwen3moe", dict(FAMILIES["qwen3moe"].config) | {"mlp_only_layers": [0, 2], "norm_topk_prob": False}
    ),
    "olmoe-clipped": Family("olmoe", dict(FAMILIES["olmoe"].config) | {"clip_qkv": 0.7}),
}
