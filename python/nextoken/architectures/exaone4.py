"""EXAONE 4: norms behind attention and feed-forward instead of before, normed heads. arXiv:2507.11407

Of 32B three layers slide to one that sees everything and is told no positions.
"""

from __future__ import annotations

from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import llama, olmo2
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import (
    FULL,
    SLIDING,
    copy,
    pattern_of,
    same_positions,
    sliding_window,
    types_of_layers,
)
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QK_NORMS,
    SANDWICH_NORMS,
    Translation,
    activation,
    folder,
    sizes,
)

EVERY = 4


@register(
    "exaone4",
    models="EXAONE 4",
    own="norms behind, normed heads; of 32B windows, and no positions where a layer sees all",
    roles=olmo2.ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.per_head
    s.pre_norms = False
    s.post_norms = True
    window = config.integer("attention.sliding_window", default=0)
    slides = config.slides("attention.sliding_window_pattern", EVERY, s.n_layers)
    if window:
        local, silent = llama.layer(config), llama.layer(config)
        local.window = window
        local.rope_theta = config.positive("rope.freq_base_swa", default=local.rope_theta)
        silent.rotates = False
        s.layers = [local if slid else silent for slid in slides]
    return s


@folder("exaone4")
def hf(config: ConfigJson) -> Translation:
    t = Translation("exaone4", LLAMA_TENSORS | QK_NORMS | SANDWICH_NORMS)
    sizes(config, t, eps=1e-5, n_kv_heads=32)
    activation(config, t)
    layer = same_positions(config, t)
    hybrid = not config.is_null("sliding_window")
    pattern = [FULL] * t.hparams["block_count"]
    if config.has("layer_types"):
        config.ignore("sliding_window_pattern")
    elif hybrid:
        config.only("sliding_window_pattern", (EVERY, "LLLG"), EVERY)
        pattern = pattern_of(t, full_every=EVERY)
    types = types_of_layers(config, t, pattern)
    window = sliding_window(config, types)
    layers = []
    for kind in types:
        layers.append(copy(layer))
        layers[-1].rotates = not hybrid or kind == SLIDING
        layers[-1].window = window if kind == SLIDING else 0
    t.layers = layers
    return t
