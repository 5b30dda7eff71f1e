"""ERNIE 4.5, dense: llama whose folders too have neighbours that rotate together. Baidu 2025"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    ATTENTION_BIASES,
    MLP_BIASES,
    Translation,
    activation,
    folder,
    sizes,
)


@register(
    "ernie4_5",
    models="ERNIE 4.5, dense",
    own="llama",
    roles=llama.ROLES | llama.BIASES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    return llama.spec(config)


@folder("ernie4_5")
def hf(config: ConfigJson) -> Translation:
    t = Translation("ernie4_5")
    sizes(config, t, n_ctx=131072, eps=1e-5, n_kv_heads=2, head_dim=128, tied=True)
    activation(config, t)
    if config.flag("use_bias", False):
        t.add(ATTENTION_BIASES | MLP_BIASES)
    same_positions(config, t, theta=5e5)
    return t
