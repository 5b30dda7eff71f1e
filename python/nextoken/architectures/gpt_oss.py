"""gpt-oss: experts with biases behind a clamped gate, windows on every other layer, and attention that may look away.

arXiv:2508.10925. Each head has a sink, a score that takes part in the softmax and brings no value. Positions are scaled
by YaRN, whose bounds are not moved to whole frequencies, as OpenAI and transformers have it (llama.cpp moves them).
"""

from __future__ import annotations

from nextoken._native import Gate, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_parts import Part
from nextoken.checkpoints.hf_positions import (
    FULL,
    SLIDING,
    copy,
    same_positions,
    sliding_window,
    types_of_layers,
)
from nextoken.checkpoints.hf_translation import LLAMA_TENSORS, Translation, biases, experts, folder, sizes

ROLES = (
    llama.ROLES
    | llama.BIASES
    | llama.EXPERTS
    | {
        "ffn_norm": "blk.{i}.post_attention_norm.weight",
        "sinks": "blk.{i}.attn_sinks.weight",
        "router_bias": "blk.{i}.ffn_gate_inp.bias",
        "expert_gate_bias": "blk.{i}.ffn_gate_exps.bias",
        "expert_up_bias": "blk.{i}.ffn_up_exps.bias",
        "expert_down_bias": "blk.{i}.ffn_down_exps.bias",
    }
)
WINDOW = 128


@register(
    "gpt-oss",
    models="gpt-oss",
    own="sinks, every other layer local, clamped SwiGLU, experts with biases, YaRN",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.gate = Gate.clamped_silu
    s.experts = llama.experts(config, config.integer("expert_feed_forward_length", default=s.ffn_size, lo=1))
    wide, local = llama.layer(config), llama.layer(config)
    wide.rope_whole = local.rope_whole = False
    local.window = config.integer("attention.sliding_window", default=WINDOW, lo=1)
    s.layers = [wide if i % 2 else local for i in range(s.n_layers)]
    return s


@folder("gpt_oss")
def hf(config: ConfigJson) -> Translation:
    t = Translation("gpt-oss", TENSORS, parts=PARTS)
    sizes(config, t, n_ctx=131072, eps=1e-5, n_kv_heads=8, head_dim=64)
    biases(config, t, default=True)
    experts(
        config, t, "num_local_experts" if config.has("num_local_experts") else "num_experts", normalized=True
    )
    config.only("hidden_act", ("silu",), "silu")
    config.only("swiglu_alpha", (1.702,), 1.702)
    config.only("swiglu_limit", (7.0, 7), 7.0)
    config.only("experts_per_token", (None, t.hparams["expert_used_count"]), None)
    wide = same_positions(config, t, theta=150000.0)
    config.only("initial_context_length", (None, wide.rope_n_ctx), None)
    types = types_of_layers(config, t, [FULL if i % 2 else SLIDING for i in range(t.hparams["block_count"])])
    local = copy(wide)
    local.window = sliding_window(config, types, WINDOW)
    t.layers = [wide if kind == FULL else local for kind in types]
    return t


TENSORS = {name: gguf for name, gguf in LLAMA_TENSORS.items() if ".mlp." not in name} | {
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.post_attention_norm.weight",
    "model.layers.{i}.self_attn.sinks": "blk.{i}.attn_sinks.weight",
    "model.layers.{i}.mlp.router.weight": "blk.{i}.ffn_gate_inp.weight",
    "model.layers.{i}.mlp.router.bias": "blk.{i}.ffn_gate_inp.bias",
}
PARTS = {
    "model.layers.{i}.mlp.experts.gate_up_proj": (
        Part("blk.{i}.ffn_gate_exps.weight", 0, 2, interleaved=True, transposed=True),
        Part("blk.{i}.ffn_up_exps.weight", 1, 2, interleaved=True, transposed=True),
    ),
    # MXFP4, as published: row by row.
    "model.layers.{i}.mlp.experts.gate_up_proj_blocks": (
        Part("blk.{i}.ffn_gate_exps.weight", 0, 2, interleaved=True),
        Part("blk.{i}.ffn_up_exps.weight", 1, 2, interleaved=True),
    ),
    "model.layers.{i}.mlp.experts.down_proj_blocks": (Part("blk.{i}.ffn_down_exps.weight"),),
    "model.layers.{i}.mlp.experts.gate_up_proj_bias": (
        Part("blk.{i}.ffn_gate_exps.bias", 0, 2, interleaved=True),
        Part("blk.{i}.ffn_up_exps.bias", 1, 2, interleaved=True),
    ),
    "model.layers.{i}.mlp.experts.down_proj": (Part("blk.{i}.ffn_down_exps.weight", transposed=True),),
    "model.layers.{i}.mlp.experts.down_proj_bias": (Part("blk.{i}.ffn_down_exps.bias"),),
}
