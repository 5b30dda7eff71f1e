"""Qwen 3: llama with normed heads of q and k, and halves that rotate together. arXiv:2505.09388"""

from __future__ import annotations

from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import llama, qwen2
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import windows_of_qwen
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QK_NORMS,
    Translation,
    activation,
    biases,
    folder,
    sizes,
)

ROLES = (
    llama.ROLES
    | llama.BIASES
    | {"q_norm": "blk.{i}.attn_q_norm.weight", "k_norm": "blk.{i}.attn_k_norm.weight"}
)


@register(
    "qwen3",
    models="Qwen 3",
    own="normed heads of q and k",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.per_head
    return s


@folder("qwen3")
def hf(config: ConfigJson) -> Translation:
    t = Translation("qwen3", LLAMA_TENSORS | QK_NORMS)
    sizes(config, t, n_ctx=32768, n_kv_heads=32, head_dim=128)
    biases(config, t)
    activation(config, t)
    windows_of_qwen(config, t, qwen2.upper_layers(config, t))
    return t
