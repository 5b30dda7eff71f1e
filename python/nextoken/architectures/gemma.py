"""Gemma: llama with GeGLU, a scaled embedding, heads of their own width, a tied head. arXiv:2403.08295

Norms multiply by 1 + weight; files hold the sum.
"""

from __future__ import annotations

import math

from nextoken._native import Gate, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register


@register("gemma", roles=llama.ROLES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.gate = Gate.gelu_tanh
    s.embedding_scale = math.sqrt(s.hidden_size)
    return s
