"""Gemma 3 text decoders: Gemma with sandwich norms, normed q and k, and five sliding windows to one full view.

arXiv:2503.19786
"""

from __future__ import annotations

import math

from nextoken._native import LayerSpec, QKNorm, Spec
from nextoken.architectures import gemma, llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.gemma2 import POST_NORMS
from nextoken.architectures.registry import register

ROLES = qwen3.ROLES | POST_NORMS
LAYERS_OF_27B = 62


@register("gemma3", roles=ROLES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = gemma.spec(config)
    s.qk_norm = QKNorm.per_head
    s.post_norms = True
    if s.n_layers == LAYERS_OF_27B:  # its queries are scaled by another width; files do not say it
        s.attention_scale = 1.0 / math.sqrt(s.hidden_size / s.n_heads)
    s.logit_soft_cap = config.soft_cap("final_logit_softcapping")
    s.attention_soft_cap = config.soft_cap("attn_logit_softcapping")

    every = config.integer("attention.sliding_window_pattern", default=6, lo=1)
    local = LayerSpec()
    local.rope_theta = config.positive("rope.freq_base_swa", default=10000.0)
    local.window = config.integer("attention.sliding_window", lo=1)
    s.layers = [s.layers[0] if (i + 1) % every == 0 else local for i in range(s.n_layers)]
    return s
