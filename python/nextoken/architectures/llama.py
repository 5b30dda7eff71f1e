"""Llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU. arXiv:2302.13971, arXiv:2307.09288"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nextoken._native import Gate, LayerSpec, RopePairs, Spec
from nextoken.architectures.registry import register

if TYPE_CHECKING:
    from nextoken.checkpoints.gguf import GGUFCheckpoint

ROLES = {
    "embedding": "token_embd.weight",
    "final_norm": "output_norm.weight",
    "lm_head": "output.weight",
    "rope_factors": "rope_freqs.weight",
    "attn_norm": "blk.{i}.attn_norm.weight",
    "q": "blk.{i}.attn_q.weight",
    "k": "blk.{i}.attn_k.weight",
    "v": "blk.{i}.attn_v.weight",
    "o": "blk.{i}.attn_output.weight",
    "ffn_norm": "blk.{i}.ffn_norm.weight",
    "gate": "blk.{i}.ffn_gate.weight",
    "up": "blk.{i}.ffn_up.weight",
    "down": "blk.{i}.ffn_down.weight",
}
OPTIONAL = frozenset({"lm_head", "rope_factors"})  # a tied head; files without frequency factors
HARMLESS = frozenset({"vocab_size", "rope.scaling.original_context_length", "rope.scaling.finetuned"})


def linear_rope_factor(checkpoint: GGUFCheckpoint) -> float:
    """What positions are divided by; refuses the scalings this version does not apply."""
    kind = checkpoint.hparam_choice("rope.scaling.type", ("none", "linear"), default="none")
    factor = checkpoint.hparam_float("rope.scaling.factor", above=0.0, default=1.0)
    return factor if kind == "linear" else 1.0


@register("llama", roles=ROLES, optional=OPTIONAL, harmless=HARMLESS)
def spec(checkpoint: GGUFCheckpoint) -> Spec:
    s = Spec()
    s.n_ctx = checkpoint.hparam_int("context_length", lo=1)
    s.vocab_size = checkpoint.rows_of("token_embd.weight")
    s.hidden_size = checkpoint.hparam_int("embedding_length", lo=1)
    s.ffn_size = checkpoint.hparam_int("feed_forward_length", lo=1)
    s.n_heads = checkpoint.hparam_int("attention.head_count", lo=1)
    s.n_kv_heads = checkpoint.hparam_int("attention.head_count_kv", lo=1, default=s.n_heads)
    s.head_dim = checkpoint.head_dim(s.hidden_size, s.n_heads)
    s.n_rot = checkpoint.hparam_int("rope.dimension_count", lo=0, default=s.head_dim)
    s.rope_pairs = RopePairs.adjacent  # files hold q and k rows permuted for it
    s.gate = Gate.silu
    s.norm_eps = checkpoint.hparam_float("attention.layer_norm_rms_epsilon", above=0.0)
    s.attention_scale = 1.0 / math.sqrt(s.head_dim)
    layer = LayerSpec()
    layer.rope_theta = checkpoint.hparam_float("rope.freq_base", above=0.0, default=10000.0)
    layer.rope_factor = linear_rope_factor(checkpoint)
    s.layers = [layer] * checkpoint.hparam_int("block_count", lo=1, hi=4096)
    return s
