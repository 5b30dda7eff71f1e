"""Qwen 2 and 2.5: llama with biases on q, k and v, and halves that rotate together. arXiv:2407.10671"""

from __future__ import annotations

from nextoken._native import RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

OPTIONAL = llama.OPTIONAL - {"q_bias", "k_bias", "v_bias"}


@register("qwen2", roles=llama.ROLES | llama.BIASES, optional=OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    return s
