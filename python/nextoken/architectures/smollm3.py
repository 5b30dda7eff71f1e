"""SmolLM3: llama in which every fourth layer is told no positions. https://huggingface.co/blog/smollm3"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import (
    FULL,
    SLIDING,
    copy,
    same_positions,
    sliding_window,
    told_positions,
    types_of_layers,
)
from nextoken.checkpoints.hf_translation import Translation, activation, biases, folder, sizes

EVERY = 4  # files do not say it


@register(
    "smollm3",
    models="SmolLM3",
    own="every fourth layer without positions",
    roles=llama.ROLES | llama.BIASES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    silent = llama.layer(config)
    silent.rotates = False
    s.layers = [silent if (i + 1) % EVERY == 0 else s.layers[0] for i in range(s.n_layers)]
    return s


@folder("smollm3")
def hf(config: ConfigJson) -> Translation:
    t = Translation("smollm3")
    sizes(config, t, n_ctx=32768, n_kv_heads=4, tied=True)
    biases(config, t, mlp=True)
    activation(config, t)
    layer = same_positions(config, t, theta=2e6)
    rotates = told_positions(config, t, EVERY)
    used = config.flag("use_sliding_window", False) and config.has("sliding_window")
    types = types_of_layers(config, t, [SLIDING if used and not turns else FULL for turns in rotates])
    window = sliding_window(config, types, default=0)  # layer_types hold, whatever use_sliding_window says
    layers = []
    for kind, turns in zip(types, rotates, strict=True):
        layers.append(copy(layer))
        layers[-1].rotates = turns
        layers[-1].window = window if kind == SLIDING else 0
    t.layers = layers
    t.pair_heads()
    return t
