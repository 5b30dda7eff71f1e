"""Gemma 3 text decoders: Gemma with sandwich norms, normed q and k, and five sliding windows to one full view.

arXiv:2503.19786
"""

from __future__ import annotations

import math

from nextoken._native import LayerSpec, QKNorm, Spec
from nextoken.architectures import gemma, llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.gemma2 import POST_NORMS, hf_scale
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import pattern_of, positions_by_type, types_of_layers
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QK_NORMS,
    SANDWICH_NORMS,
    Translation,
    biases,
    folder,
    sizes,
    text_half,
)

ROLES = qwen3.ROLES | POST_NORMS
LAYERS_OF_27B = 62
EVERY = 6


@register(
    "gemma3",
    models="Gemma 3 (text)",
    own="five local layers to one that sees all",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gemma.spec(config)
    s.qk_norm = QKNorm.per_head
    s.post_norms = True
    if s.n_layers == LAYERS_OF_27B:  # its queries are scaled by another width; files do not say it
        s.attention_scale = 1.0 / math.sqrt(s.hidden_size / s.n_heads)
    s.logit_soft_cap = config.soft_cap("final_logit_softcapping")
    s.attention_soft_cap = config.soft_cap("attn_logit_softcapping")

    slides = config.slides("attention.sliding_window_pattern", EVERY, s.n_layers)
    local = LayerSpec()
    local.rope_theta = config.positive("rope.freq_base_swa", default=10000.0)
    local.window = config.integer("attention.sliding_window", lo=1)
    s.layers = [local if slid else s.layers[0] for slid in slides]
    return s


@folder("gemma3_text")
def hf(config: ConfigJson) -> Translation:
    t = Translation("gemma3", LLAMA_TENSORS | QK_NORMS | SANDWICH_NORMS, norm_plus=1.0)
    sizes(config, t, n_ctx=131072, n_kv_heads=4, head_dim=256, tied=True)
    biases(config, t)
    hf_scale(config, t)
    if config.has("final_logit_softcapping"):
        t.put("final_logit_softcapping", config.number("final_logit_softcapping"), "final_logit_softcapping")
    config.only("attn_logit_softcapping", (None,), None)  # transformers keeps it and does not apply it
    every = config.integer("sliding_window_pattern", config.integer("_sliding_window_pattern", EVERY))
    types = types_of_layers(config, t, pattern_of(t, full_every=every))
    positions_by_type(config, t, types, full=1e6, local=1e4, old_local="rope_local_base_freq")
    t.put("attention.sliding_window", max(1, *(layer.window for layer in t.layers)), "sliding_window")
    return t


@folder("gemma3")
def hf_with_vision(config: ConfigJson) -> Translation:
    return text_half(config, hf)
