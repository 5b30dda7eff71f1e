"""Llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU. arXiv:2302.13971, arXiv:2307.09288"""

from __future__ import annotations

import math

from nextoken._native import Gate, LayerSpec, RopePairs, Spec
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

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
WIDEST, MOST_HEADS = 1 << 24, 65536  # as in the native Spec, for the two that others are computed from


def linear_rope_factor(config: Config) -> float:
    """What positions are divided by; scalings this version does not apply are refused."""
    # A factor without a type is a linear one: so old files write it, and so llama.cpp reads it.
    kind = config.choice("rope.scaling.type", ("none", "linear"), default="linear")
    factor = config.positive("rope.scaling.factor", default=1.0)
    return factor if kind == "linear" else 1.0


@register("llama", roles=ROLES, optional=OPTIONAL, harmless=HARMLESS)
def spec(config: Config) -> Spec:
    s = Spec()
    s.n_ctx = config.integer("context_length", lo=1)
    s.vocab_size = config.rows_of("token_embd.weight")
    s.hidden_size = config.integer("embedding_length", lo=1, hi=WIDEST)
    s.ffn_size = config.integer("feed_forward_length", lo=1)
    s.n_heads = config.integer("attention.head_count", lo=1, hi=MOST_HEADS)
    s.n_kv_heads = config.integer("attention.head_count_kv", default=s.n_heads, lo=1)
    even = s.hidden_size % s.n_heads == 0
    s.head_dim = config.integer(
        "attention.key_length", default=s.hidden_size // s.n_heads if even else None, lo=1
    )
    # Values are as long as keys here.
    config.integer("attention.value_length", default=s.head_dim, lo=s.head_dim, hi=s.head_dim)
    s.n_rot = config.integer("rope.dimension_count", default=s.head_dim)
    s.rope_pairs = RopePairs.adjacent  # files hold q and k rows permuted for it
    s.gate = Gate.silu
    s.norm_eps = config.positive("attention.layer_norm_rms_epsilon")
    s.attention_scale = 1.0 / math.sqrt(s.head_dim)
    layer = LayerSpec()
    layer.rope_theta = config.positive("rope.freq_base", default=10000.0)
    layer.rope_factor = linear_rope_factor(config)
    s.layers = [layer] * config.integer("block_count", lo=1, hi=4096)
    return s
