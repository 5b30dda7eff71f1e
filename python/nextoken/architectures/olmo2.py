"""OLMo 2 and 3: norms behind attention and feed-forward instead of before, and q and k normed as wholes.

arXiv:2501.00656. OLMo 3 has three sliding windows, whose positions are not scaled, to one full view.
"""

from __future__ import annotations

from nextoken._native import LayerSpec, QKNorm, RopePairs, Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.gemma2 import POST_NORMS
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import pattern_of, positions_by_type, same_positions, types_of_layers
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QK_NORMS,
    SANDWICH_NORMS,
    Translation,
    activation,
    biases,
    folder,
    sizes,
)

PRE_NORMS = ("attn_norm", "ffn_norm")
ROLES = {role: name for role, name in (qwen3.ROLES | POST_NORMS).items() if role not in PRE_NORMS}
EVERY = 4


@register(
    "olmo2",
    models="OLMo 2 and 3",
    own="norms behind, q and k normed as wholes",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.whole
    s.pre_norms = False
    s.post_norms = True
    window = config.integer("attention.sliding_window", default=0)
    slides = config.slides("attention.sliding_window_pattern", EVERY, s.n_layers)
    if window:
        local = LayerSpec()
        local.rope_theta = config.positive("rope.freq_base_swa", default=s.layers[0].rope_theta)
        local.window = window
        s.layers = [local if slid else s.layers[0] for slid in slides]
    return s


@folder("olmo2")
def hf(config: ConfigJson) -> Translation:
    t = Translation("olmo2", LLAMA_TENSORS | QK_NORMS | SANDWICH_NORMS)
    sizes(config, t, eps=1e-5)
    biases(config, t)
    activation(config, t)
    same_positions(config, t)
    return t


@folder("olmo3")
def hf_olmo3(config: ConfigJson) -> Translation:
    t = Translation("olmo2", LLAMA_TENSORS | QK_NORMS | SANDWICH_NORMS)
    sizes(config, t, eps=1e-5)
    biases(config, t)
    activation(config, t)
    types = types_of_layers(config, t, pattern_of(t, full_every=EVERY))
    positions_by_type(config, t, types, full=5e5, local=5e5, old_local=None)
    return t
