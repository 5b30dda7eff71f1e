"""Gemma 3 text decoders: llama with sandwich norms, normed q and k, and five sliding windows to one full view.

arXiv:2503.19786
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nextoken._native import Gate, LayerSpec, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.registry import register

if TYPE_CHECKING:
    from nextoken.checkpoints.gguf import GGUFCheckpoint

ROLES = llama.ROLES | {
    "q_norm": "blk.{i}.attn_q_norm.weight",
    "k_norm": "blk.{i}.attn_k_norm.weight",
    "attn_post_norm": "blk.{i}.post_attention_norm.weight",
    "ffn_post_norm": "blk.{i}.post_ffw_norm.weight",
}
LAYERS_OF_27B = 62


@register("gemma3", roles=ROLES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(checkpoint: GGUFCheckpoint) -> Spec:
    s = llama.spec(checkpoint)
    s.rope_pairs = RopePairs.halves
    s.gate = Gate.gelu_tanh
    s.qk_norm = True
    s.post_norms = True
    s.embedding_scale = math.sqrt(s.hidden_size)
    if s.n_layers == LAYERS_OF_27B:  # the one size whose queries are scaled by another width; files do not say it
        s.attention_scale = 1.0 / math.sqrt(s.hidden_size / s.n_heads)
    s.logit_soft_cap = checkpoint.hparam_float("final_logit_softcapping", above=0.0, default=0.0)
    s.attention_soft_cap = checkpoint.hparam_float("attn_logit_softcapping", above=0.0, default=0.0)

    window = checkpoint.hparam_int("attention.sliding_window", lo=1)
    every = checkpoint.hparam_int("attention.sliding_window_pattern", lo=1, default=6)
    local = LayerSpec()
    local.rope_theta = checkpoint.hparam_float("rope.freq_base_swa", above=0.0, default=10000.0)
    local.window = window
    full = s.layers[0]
    s.layers = [full if (i + 1) % every == 0 else local for i in range(s.n_layers)]
    return s
