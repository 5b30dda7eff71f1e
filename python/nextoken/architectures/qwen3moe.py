"""Qwen 3 with a mixture of experts. arXiv:2505.09388"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import SLIDING, windows_of_qwen
from nextoken.checkpoints.hf_translation import (
    EXPERTS,
    LLAMA_TENSORS,
    QK_NORMS,
    Translation,
    activation,
    biases,
    experts,
    folder,
    sizes,
    sparse_layers,
)


@register(
    "qwen3moe",
    models="Qwen 3 MoE",
    own="qwen3 with experts",
    roles=qwen3.ROLES | llama.EXPERTS,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = qwen3.spec(config)
    s.experts = llama.experts(config, config.integer("expert_feed_forward_length", lo=1))
    return s


@folder("qwen3_moe")
def hf(config: ConfigJson) -> Translation:
    t = Translation("qwen3moe", LLAMA_TENSORS | QK_NORMS | EXPERTS)
    sizes(config, t, n_ctx=32768, n_kv_heads=4)
    biases(config, t)
    activation(config, t)
    experts(config, t, "num_local_experts" if config.has("num_local_experts") else "num_experts")
    sparse_layers(config, t)
    t.put("expert_feed_forward_length", config.integer("moe_intermediate_size"), "moe_intermediate_size")
    config.has("max_window_layers")  # not for this family, whose windows are on all layers or none
    windows_of_qwen(config, t, [SLIDING] * t.hparams["block_count"])
    return t
