"""Llama 4, text: llama with experts that a sigmoid weighs before they read, and attention within chunks.

https://ai.meta.com/blog/llama-4-multimodal-intelligence. Layers that are told positions see the chunk of their query
alone and norm what they rotated; every fourth is told none, sees everything, and its queries grow with the text.
"""

from __future__ import annotations

from nextoken._native import ExpertSpec, LayerSpec, QKNorm, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_parts import Part
from nextoken.checkpoints.hf_positions import FULL, copy, same_positions, told_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    Translation,
    activation,
    biases,
    dense_layers,
    experts,
    folder,
    sizes,
    text_half,
)

EVERY = 4
LENGTH, SCALE = 8192, 0.1  # of a chunk, and of the temperature; files do not say them
WITHOUT_NORMS = 128  # as many experts has Maverick; files do not say it


@register(
    "llama4",
    models="Llama 4 (text)",
    own="attention within chunks, every fourth layer without positions and with growing queries, "
    "q and k normed behind their rotation, experts that are weighed before they read",
    roles=llama.ROLES | llama.BIASES | llama.EXPERTS | llama.SHARED_EXPERT,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    e = s.experts
    if e.n_experts != WITHOUT_NORMS:
        s.qk_norm, s.qk_norm_rotated = QKNorm.unweighted, True
    if e.n_experts:
        e.ffn_size = e.shared_ffn_size = config.integer("expert_feed_forward_length", lo=1, hi=llama.WIDEST)
        step = config.integer("interleave_moe_layer_step", lo=0)
        e.dense_layers = [i for i in range(s.n_layers) if not step or (i + 1) % step]
        s.experts = weighing_input(e)
    s.layers = layers(config, s.n_layers)
    return s


def layers(config: Config, n: int) -> list[LayerSpec]:
    """All that rotate see a chunk. A window of 0 says that all see everything and rotate."""
    local, silent = llama.layer(config), llama.layer(config)
    local.chunk = config.integer("attention.sliding_window", default=LENGTH)
    slides = config.slides("attention.sliding_window_pattern", EVERY, n)
    if local.chunk == 0:
        return [local] * n
    local.rope_theta = config.positive("rope.freq_base_swa", default=local.rope_theta)
    silent.rotates = False
    silent.temperature_length = config.integer("attention.temperature_length", default=LENGTH)
    silent.temperature_scale = config.positive("attention.temperature_scale", default=SCALE)
    return [local if slid else silent for slid in slides]


def weighing_input(e: ExpertSpec) -> ExpertSpec:
    """Sigmoids of the best weigh what their experts read; one more reads everything."""
    e.sigmoid, e.normalized, e.weighs_input, e.shared_weighted = True, False, True, False
    return e


@folder("llama4_text")
def hf(config: ConfigJson) -> Translation:
    t = Translation("llama4", TENSORS, parts=PARTS)
    sizes(config, t, n_ctx=131072, eps=1e-5, n_kv_heads=8, head_dim=128)
    biases(config, t)
    activation(config, t)
    config.ignore("for_llm_compression")
    t.put("expert_feed_forward_length", t.hparams["feed_forward_length"], "intermediate_size")
    t.put("feed_forward_length", config.integer("intermediate_size_mlp", 16384), "intermediate_size_mlp")
    experts(config, t, "num_local_experts", normalized=False)
    hf_layers(config, t)
    hf_mixtures(config, t)
    normed = config.flag("use_qk_norm", True)

    def norms(spec: Spec, _n_ctx: int) -> None:
        spec.qk_norm = QKNorm.unweighted if normed else QKNorm.none
        spec.qk_norm_rotated = normed

    t.changes.append(norms)
    return t


def hf_mixtures(config: ConfigJson, t: Translation) -> None:
    """Experts on the layers of `moe_layers`, or on the last of every so many."""
    step = config.integer("interleave_moe_layer_step", 1)
    if config.has("moe_layers"):
        listed = config.items("moe_layers")
        dense_layers(t, lambda i: i not in listed)
    elif step < 1:
        raise config.error("interleave_moe_layer_step", f"is {step}, at least 1 was expected")
    else:
        dense_layers(t, lambda i: (i + 1) % step != 0)
    t.put("interleave_moe_layer_step", step, "interleave_moe_layer_step")


def hf_layers(config: ConfigJson, t: Translation) -> None:
    """Which layers are told positions, and which see a chunk."""
    layer = same_positions(config, t, theta=500000.0)
    n = len(t.layers)
    rotates = told_positions(config, t, EVERY)
    chunk = 0 if config.is_null("attention_chunk_size") else config.integer("attention_chunk_size", LENGTH)
    types = [CHUNKED if turns and chunk else FULL for turns in rotates]
    if config.has("layer_types"):
        types = config.texts("layer_types")
    if len(types) != n or not set(types) <= {CHUNKED, FULL}:
        raise config.error("layer_types", f"is no list of {CHUNKED!r} and {FULL!r} for {n} layers")
    if CHUNKED in types and chunk < 1:
        raise config.error("attention_chunk_size", f"is {chunk}, and there are layers that see a chunk")
    tuned = config.flag("attn_temperature_tuning", True)
    length, scale = config.integer("floor_scale", LENGTH), config.number("attn_scale", SCALE)
    if length < 1:
        raise config.error("floor_scale", f"is {length}, at least 1 was expected")
    if scale < 0.0:
        raise config.error("attn_scale", f"is {scale}, a number from zero on was expected")
    t.layers = []
    for kind, turns in zip(types, rotates, strict=True):
        told = copy(layer)
        told.rotates = turns
        told.chunk = chunk if kind == CHUNKED else 0
        if tuned and not turns:
            told.temperature_length, told.temperature_scale = length, scale
        t.layers.append(told)


@folder("llama4")
def hf_with_vision(config: ConfigJson) -> Translation:
    return text_half(config, hf)


CHUNKED = "chunked_attention"
TENSORS = {name.replace(".mlp.", ".feed_forward."): gguf for name, gguf in LLAMA_TENSORS.items()} | {
    "model.layers.{i}.feed_forward.router.weight": "blk.{i}.ffn_gate_inp.weight",
    "model.layers.{i}.feed_forward.shared_expert.gate_proj.weight": "blk.{i}.ffn_gate_shexp.weight",
    "model.layers.{i}.feed_forward.shared_expert.up_proj.weight": "blk.{i}.ffn_up_shexp.weight",
    "model.layers.{i}.feed_forward.shared_expert.down_proj.weight": "blk.{i}.ffn_down_shexp.weight",
}
PARTS = {
    "model.layers.{i}.feed_forward.experts.gate_up_proj": (
        Part("blk.{i}.ffn_gate_exps.weight", 0, 2, transposed=True),
        Part("blk.{i}.ffn_up_exps.weight", 1, 2, transposed=True),
    ),
    "model.layers.{i}.feed_forward.experts.down_proj": (
        Part("blk.{i}.ffn_down_exps.weight", transposed=True),
    ),
}
