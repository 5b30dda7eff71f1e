"""MiniCPM 1 and 2: llama with multipliers of the embedding, the residual branches and the logits. arXiv:2404.06395"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register


@register("minicpm", roles=llama.ROLES | llama.BIASES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.embedding_scale = config.positive("embedding_scale")
    s.residual_scale = config.positive("residual_scale")
    s.logit_scale = 1.0 / config.positive("logit_scale")
    return s
