"""Phi 3 and 4: llama with q, k, v in one matrix and gate, up in another, and frequencies stretched one by one.

arXiv:2404.14219. The stretching is LongRoPE, arXiv:2402.13753: two lists of divisors, one for contexts up to the
trained one, one beyond. Which of them holds is a matter of `n_ctx`, so that a token never changes its neighbours.
"""

from __future__ import annotations

from nextoken._native import RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

ROLES = {role: name for role, name in llama.ROLES.items() if role not in ("q", "k", "v", "gate", "up")} | {
    "qkv": "blk.{i}.attn_qkv.weight",
    "qkv_bias": "blk.{i}.attn_qkv.bias",
    "o_bias": "blk.{i}.attn_output.bias",
    "gate_up": "blk.{i}.ffn_up.weight",
}
LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"


@register("phi3", roles=ROLES, optional=llama.OPTIONAL | {"qkv_bias"}, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    layer = s.layers[0]
    layer.window = config.integer("attention.sliding_window", default=0)
    if config.has_tensor(LONG):
        trained = config.integer("rope.scaling.original_context_length", lo=1)
        config.plays("rope_factors", LONG if config.n_ctx(s.n_ctx) > trained else SHORT)
        config.spares(LONG, SHORT)
        layer.rope_magnitude = config.positive("rope.scaling.attn_factor", default=1.0)
    s.layers = [layer] * s.n_layers
    return s
