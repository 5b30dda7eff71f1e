"""Gemma 3 text decoders: llama with sandwich norms, normed q and k, and five sliding windows to one full view.

arXiv:2503.19786
"""

from __future__ import annotations

import math

from nextoken._native import Gate, LayerSpec, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

ROLES = llama.ROLES | {
    "q_norm": "blk.{i}.attn_q_norm.weight",
    "k_norm": "blk.{i}.attn_k_norm.weight",
    "attn_post_norm": "blk.{i}.post_attention_norm.weight",
    "ffn_post_norm": "blk.{i}.post_ffw_norm.weight",
}
LAYERS_OF_27B = 62


@register("gemma3", roles=ROLES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.gate = Gate.gelu_tanh
    s.qk_norm = True
    s.post_norms = True
    s.embedding_scale = math.sqrt(s.hidden_size)
    if (
        s.n_layers == LAYERS_OF_27B
    ):  # the one size whose queries are scaled by another width; files do not say it
        s.attention_scale = 1.0 / math.sqrt(s.hidden_size / s.n_heads)
    s.logit_soft_cap = config.soft_cap("final_logit_softcapping")
    s.attention_soft_cap = config.soft_cap("attn_logit_softcapping")

    window = config.integer("attention.sliding_window", lo=1)
    every = config.integer("attention.sliding_window_pattern", default=6, lo=1)
    local = LayerSpec()
    local.rope_theta = config.positive("rope.freq_base_swa", default=10000.0)
    local.window = window
    full = s.layers[0]
    s.layers = [full if (i + 1) % every == 0 else local for i in range(s.n_layers)]
    return s
