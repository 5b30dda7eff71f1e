"""Phi 3 and 4: llama with q, k, v in one matrix and gate, up in another, and frequencies stretched one by one.

arXiv:2404.14219. The stretching is LongRoPE, arXiv:2402.13753: two lists of divisors, one for contexts up to the
trained one, one beyond. Which of them holds is a matter of `n_ctx`, so that a token never changes its neighbours.
"""

from __future__ import annotations

from nextoken._native import LayerSpec, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import LLAMA_TENSORS, Translation, activation, folder, sizes

ROLES = {role: name for role, name in llama.ROLES.items() if role not in ("q", "k", "v", "gate", "up")} | {
    "qkv": "blk.{i}.attn_qkv.weight",
    "qkv_bias": "blk.{i}.attn_qkv.bias",
    "o_bias": "blk.{i}.attn_output.bias",
    "gate_up": "blk.{i}.ffn_up.weight",
}
LONG, SHORT = llama.LONG_FACTORS, "rope_factors_short.weight"


@register(
    "phi3",
    models="Phi 3, 3.5, 4",
    own="fused matrices, a sliding window, LongRoPE chosen by `n_ctx`",
    roles=ROLES,
    optional=llama.OPTIONAL | {"qkv_bias"},
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    layer = s.layers[0]
    layer.window = config.integer("attention.sliding_window", default=0)
    if config.has_tensor(LONG):
        long_rope(config, s, layer, config.integer("rope.scaling.original_context_length", lo=1))
    s.layers = [layer] * s.n_layers
    return s


def long_rope(config: Config, s: Spec, layer: LayerSpec, trained: int) -> None:
    """Which of the two lists of divisors holds."""
    config.plays("rope_factors", LONG if config.n_ctx(s.n_ctx) > trained else SHORT)
    config.spares(LONG, SHORT)
    layer.rope_magnitude = config.positive("rope.scaling.attn_factor", default=1.0)


@folder("phi3")
def hf(config: ConfigJson) -> Translation:
    """Positions are scaled by LongRoPE or not at all."""
    t = Translation("phi3", HF_TENSORS)
    sizes(config, t, n_ctx=4096, eps=1e-5)
    config.only("attention_bias", (False,), False)
    activation(config, t)
    config.has("original_max_position_embeddings")
    same_positions(config, t, window=llama.hf_window(config, None), partial=True)
    return t


HF_TENSORS = {
    name: gguf for name, gguf in LLAMA_TENSORS.items() if "self_attn" not in name and ".mlp." not in name
} | {
    "model.layers.{i}.self_attn.qkv_proj.weight": "blk.{i}.attn_qkv.weight",
    "model.layers.{i}.self_attn.o_proj.weight": "blk.{i}.attn_output.weight",
    "model.layers.{i}.mlp.gate_up_proj.weight": "blk.{i}.ffn_up.weight",
    "model.layers.{i}.mlp.down_proj.weight": "blk.{i}.ffn_down.weight",
}
