"""OLMoE: llama with a mixture of experts, and q and k normed as wholes. arXiv:2409.02060"""

from __future__ import annotations

from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register


@register("olmoe", roles=qwen3.ROLES | llama.EXPERTS, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.whole
    experts = s.experts
    experts.normalized = False
    s.experts = experts
    return s
