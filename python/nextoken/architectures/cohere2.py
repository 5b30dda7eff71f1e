"""Command R7B and A: Command R with windows, and no positions where a layer sees everything. arXiv:2504.00698"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import command_r, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import (
    SLIDING,
    copy,
    pattern_of,
    same_positions,
    sliding_window,
    types_of_layers,
)
from nextoken.checkpoints.hf_translation import Translation, folder

EVERY = 4


@register(
    "cohere2",
    models="Command R7B, A",
    own="command-r with windows, and no positions where a layer sees all",
    roles=command_r.ROLES,
    optional=command_r.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = command_r.spec(config)
    local, silent = llama.layer(config), llama.layer(config)
    local.window = config.integer("attention.sliding_window", lo=1)
    local.rope_theta = config.positive("rope.freq_base_swa", default=local.rope_theta)
    silent.rotates = False
    slides = config.slides("attention.sliding_window_pattern", EVERY, s.n_layers)
    s.layers = [local if slid else silent for slid in slides]
    return s


@folder("cohere2")
def hf(config: ConfigJson) -> Translation:
    t = Translation("cohere2", command_r.HF_TENSORS)
    command_r.hf_sizes(config, t)
    config.only("rotary_pct", (1.0, 1), 1.0)
    config.only("use_parallel_block", (True,), True)
    config.only("use_gated_activation", (True,), True)
    config.only("use_embedding_sharing", (True,), True)
    config.only("position_embedding_type", ("rope_gptj",), "rope_gptj")
    config.ignore("use_parallel_embedding", "order_of_interleaved_layers", "layer_switch")
    local = same_positions(config, t, theta=5e5)
    every = config.integer("sliding_window_pattern", config.integer("layer_switch", EVERY))
    types = types_of_layers(config, t, pattern_of(t, full_every=every))
    silent = copy(local)
    silent.rotates = False
    t.put("attention.sliding_window", sliding_window(config, types) or 1, "sliding_window")
    local.window = t.hparams["attention.sliding_window"]
    t.layers = [local if kind == SLIDING else silent for kind in types]
    return t
