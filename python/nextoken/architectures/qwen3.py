"""Qwen 3: llama with normed heads of q and k, and halves that rotate together. arXiv:2505.09388"""

from __future__ import annotations

from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

ROLES = (
    llama.ROLES
    | llama.BIASES
    | {"q_norm": "blk.{i}.attn_q_norm.weight", "k_norm": "blk.{i}.attn_k_norm.weight"}
)


@register("qwen3", roles=ROLES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.per_head
    return s
