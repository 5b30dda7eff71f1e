"""Gemma 2: Gemma with sandwich norms, soft caps, and a sliding window on every other layer. arXiv:2408.00118"""

from __future__ import annotations

import math

from nextoken._native import Spec
from nextoken.architectures import gemma, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

POST_NORMS = {
    "attn_post_norm": "blk.{i}.post_attention_norm.weight",
    "ffn_post_norm": "blk.{i}.post_ffw_norm.weight",
}
LAYERS_OF_27B = 46


@register("gemma2", roles=llama.ROLES | POST_NORMS, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = gemma.spec(config)
    s.post_norms = True
    if s.n_layers == LAYERS_OF_27B:  # its queries are scaled by another width; files do not say it
        s.attention_scale = 1.0 / math.sqrt(s.hidden_size / s.n_heads)
    s.logit_soft_cap = config.soft_cap("final_logit_softcapping")
    s.attention_soft_cap = config.soft_cap("attn_logit_softcapping")
    local = llama.layer(config)
    local.window = config.integer("attention.sliding_window", default=4096, lo=1)
    s.layers = [local if i % 2 == 0 else s.layers[0] for i in range(s.n_layers)]
    return s
