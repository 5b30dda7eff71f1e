"""Qwen 3 with a mixture of experts in every layer. arXiv:2505.09388"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register


@register("qwen3moe", roles=qwen3.ROLES | llama.EXPERTS, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = qwen3.spec(config)
    s.experts = llama.experts(config, config.integer("expert_feed_forward_length", lo=1))
    return s
