"""Qwen 2 and 2.5: llama with biases on q, k and v, and halves that rotate together. arXiv:2407.10671"""

from __future__ import annotations

from nextoken._native import RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import FULL, SLIDING, windows_of_qwen
from nextoken.checkpoints.hf_translation import QKV_BIASES, Translation, activation, folder, sizes

OPTIONAL = llama.OPTIONAL - {"q_bias", "k_bias", "v_bias"}


@register(
    "qwen2",
    models="Qwen 1.5, 2, 2.5",
    own="biases of q, k and v",
    roles=llama.ROLES | llama.BIASES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    return s


@folder("qwen2")
def hf(config: ConfigJson) -> Translation:
    t = Translation("qwen2")
    sizes(config, t, n_ctx=32768, n_kv_heads=32)
    t.add(QKV_BIASES)
    activation(config, t)
    windows_of_qwen(config, t, upper_layers(config, t))
    return t


def upper_layers(config: ConfigJson, t: Translation) -> list[str]:
    """Layers from `max_window_layers` on slide, where `use_sliding_window` asks for it."""
    first = config.integer("max_window_layers", 28)
    return [FULL if i < first else SLIDING for i in range(t.hparams["block_count"])]
