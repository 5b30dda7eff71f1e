"""Llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU. arXiv:2302.13971, arXiv:2407.21783

Mistral and Mixtral files say "llama" too. Most families are this one with a difference.
"""

from __future__ import annotations

import math

from nextoken._native import ExpertSpec, Gate, LayerSpec, RopePairs, RopeScaling, Spec
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import EXPERTS as HF_EXPERTS
from nextoken.checkpoints.hf_translation import LLAMA_TENSORS, Translation, activation, biases, folder, sizes
from nextoken.checkpoints.hf_translation import experts as hf_experts

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
BIASES = {
    "q_bias": "blk.{i}.attn_q.bias",
    "k_bias": "blk.{i}.attn_k.bias",
    "v_bias": "blk.{i}.attn_v.bias",
    "o_bias": "blk.{i}.attn_output.bias",
    "gate_bias": "blk.{i}.ffn_gate.bias",
    "up_bias": "blk.{i}.ffn_up.bias",
    "down_bias": "blk.{i}.ffn_down.bias",
}
EXPERTS = {
    "router": "blk.{i}.ffn_gate_inp.weight",
    "expert_gate": "blk.{i}.ffn_gate_exps.weight",
    "expert_up": "blk.{i}.ffn_up_exps.weight",
    "expert_down": "blk.{i}.ffn_down_exps.weight",
}
SHARED_EXPERT = {
    "shared_gate": "blk.{i}.ffn_gate_shexp.weight",
    "shared_up": "blk.{i}.ffn_up_shexp.weight",
    "shared_down": "blk.{i}.ffn_down_shexp.weight",
}
OPTIONAL = frozenset(
    {"lm_head", "rope_factors", *BIASES}
)  # a tied head; files without frequency factors or biases
HARMLESS = frozenset({"vocab_size", "rope.scaling.original_context_length", "rope.scaling.finetuned"})
LONG_FACTORS = "rope_factors_long.weight"
YARN_MAGNITUDE = "rope.scaling.yarn_attn_factor"
WIDEST, MOST_HEADS = 1 << 24, 65536  # as in the native Spec, for the two that others are computed from


@register(
    "llama",
    models="Llama 1 to 3.3, Mistral, Mixtral, SmolLM 1 and 2",
    own="Llama 3's frequencies, linear and YaRN scaling, biases, experts",
    roles=ROLES | BIASES | EXPERTS,
    optional=OPTIONAL,
    harmless=HARMLESS,
)
def spec(config: Config) -> Spec:
    s = decoder(config)
    s.norm_eps = config.positive("attention.layer_norm_rms_epsilon")
    return s


def decoder(config: Config) -> Spec:
    """All of it but the norms, which other families have too."""
    s = stream(config)
    s.n_kv_heads = config.integer("attention.head_count_kv", default=s.n_heads, lo=1)
    even = s.hidden_size % s.n_heads == 0
    s.head_dim = config.integer(
        "attention.key_length", default=s.hidden_size // s.n_heads if even else None, lo=1
    )
    # Values are as long as keys here.
    config.integer("attention.value_length", default=s.head_dim, lo=s.head_dim, hi=s.head_dim)
    s.n_rot = config.integer("rope.dimension_count", default=s.head_dim)
    s.rope_pairs = RopePairs.adjacent  # files hold q and k rows permuted for it
    s.attention_scale = 1.0 / math.sqrt(s.head_dim)
    s.experts = experts(config, s.ffn_size)
    return s


def stream(config: Config) -> Spec:
    """What does not depend on the kind of attention."""
    s = Spec()
    s.n_ctx = config.integer("context_length", lo=1)
    s.vocab_size = config.rows_of("token_embd.weight")
    s.hidden_size = config.integer("embedding_length", lo=1, hi=WIDEST)
    s.ffn_size = config.integer("feed_forward_length", lo=1)
    s.n_heads = config.integer("attention.head_count", lo=1, hi=MOST_HEADS)
    s.gate = Gate.silu
    s.layers = [layer(config)] * config.integer("block_count", lo=1, hi=4096)
    return s


def layer(config: Config) -> LayerSpec:
    """The positions of a layer: base and scaling of its rotary frequencies. arXiv:2309.00071 for YaRN."""
    result = LayerSpec()
    result.rope_theta = config.positive("rope.freq_base", default=10000.0)
    # A factor without a type is a linear one: so old files write it, and so llama.cpp reads it.
    kinds = ["none", "linear", "yarn"]
    if config.has_tensor(LONG_FACTORS):  # which are all of it
        kinds.append("longrope")
    kind = config.choice("rope.scaling.type", kinds, default="linear")
    factor = config.positive("rope.scaling.factor", default=1.0)
    if kind in ("linear", "yarn"):
        result.rope_factor = factor
    if kind == "yarn":
        result.rope_scaling = RopeScaling.yarn
        result.rope_n_ctx = config.integer("rope.scaling.original_context_length", lo=1)
        result.rope_fast = config.positive("rope.scaling.yarn_beta_fast", default=32.0)
        result.rope_slow = config.positive("rope.scaling.yarn_beta_slow", default=1.0)
        result.rope_magnitude = config.positive("rope.scaling.attn_factor", default=1.0)
        result.rope_log_magnitude = 0.1
        if config.has(YARN_MAGNITUDE):  # instead of what follows from the factor
            result.rope_magnitude *= config.positive(YARN_MAGNITUDE)
            result.rope_log_magnitude = 0.0
    return result


def experts(config: Config, ffn_size: int) -> ExpertSpec:
    """The mixture of experts of files that have one: Mixtral's, whose weights add up to 1. arXiv:2401.04088"""
    result = ExpertSpec()
    result.n_experts = config.integer("expert_count", default=0)
    result.n_used = config.integer("expert_used_count", default=0)
    result.ffn_size = ffn_size
    result.normalized = True
    return result


@folder("llama")
def hf_llama(config: ConfigJson) -> Translation:
    """Llama 1 to 3."""
    t = Translation("llama")
    sizes(config, t)
    biases(config, t, mlp=True)
    activation(config, t)
    same_positions(config, t)
    t.pair_heads()
    return t


@folder("mistral")
def hf_mistral(config: ConfigJson) -> Translation:
    """One window for all layers. arXiv:2310.06825"""
    t = Translation("llama")
    sizes(config, t, n_ctx=131072, n_kv_heads=8)
    config.only("attention_bias", (False,), False)
    activation(config, t)
    same_positions(config, t, window=hf_window(config, 4096))
    t.pair_heads()
    return t


@folder("mixtral")
def hf_mixtral(config: ConfigJson) -> Translation:
    """Mistral with experts. arXiv:2401.04088"""
    t = Translation("llama", MIXTRAL_TENSORS)
    sizes(config, t, n_ctx=131072, eps=1e-5, n_kv_heads=8)
    config.only("attention_bias", (False,), False)
    activation(config, t)
    hf_experts(config, t, "num_local_experts", normalized=True)
    same_positions(config, t, theta=1e6, window=hf_window(config, None))
    t.pair_heads()
    return t


def hf_window(config: ConfigJson, default: int | None) -> int | None:
    """`sliding_window`, None for none."""
    if config.is_null("sliding_window") or (default is None and not config.has("sliding_window")):
        return None
    window = config.integer("sliding_window", default)
    if window < 1:
        raise config.error("sliding_window", f"is {window}, at least 1 was expected")
    return window


MIXTRAL_TENSORS = (
    LLAMA_TENSORS
    | HF_EXPERTS
    | {
        "model.layers.{i}.block_sparse_moe.gate.weight": "blk.{i}.ffn_gate_inp.weight",
        "model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight": "blk.{i}.ffn_gate.{e}.weight",
        "model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight": "blk.{i}.ffn_up.{e}.weight",
        "model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight": "blk.{i}.ffn_down.{e}.weight",
    }
)
