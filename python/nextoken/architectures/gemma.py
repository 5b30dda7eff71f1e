"""Gemma: llama with GeGLU, a scaled embedding, heads of their own width, a tied head. arXiv:2403.08295

Norms multiply by 1 + weight; files hold the sum.
"""

from __future__ import annotations

import math

from nextoken._native import Gate, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import Translation, activation, biases, folder, sizes


@register(
    "gemma",
    models="Gemma 1",
    own="GeGLU, scaled embedding",
    roles=llama.ROLES | llama.BIASES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.gate = Gate.gelu_tanh
    s.embedding_scale = math.sqrt(s.hidden_size)
    return s


@folder("gemma")
def hf(config: ConfigJson) -> Translation:
    t = Translation("gemma", norm_plus=1.0)
    sizes(config, t, n_ctx=8192, n_kv_heads=16, head_dim=256, tied=True)
    biases(config, t)
    if config.text("hidden_act", "gelu_pytorch_tanh") != "gelu":  # which was never meant
        activation(config, t, "gelu_pytorch_tanh")
    config.only("hidden_activation", ("gelu_pytorch_tanh", None), None)
    config.only("use_bidirectional_attention", (False, None), None)
    same_positions(config, t)
    return t
