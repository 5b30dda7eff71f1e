"""OLMo 2 and 3: norms behind attention and feed-forward instead of before, and q and k normed as wholes.

arXiv:2501.00656. OLMo 3 has three sliding windows, whose positions are not scaled, to one full view.
"""

from __future__ import annotations

from nextoken._native import LayerSpec, QKNorm, RopePairs, Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.gemma2 import POST_NORMS
from nextoken.architectures.registry import register

PRE_NORMS = ("attn_norm", "ffn_norm")
ROLES = {role: name for role, name in (qwen3.ROLES | POST_NORMS).items() if role not in PRE_NORMS}
EVERY = 4


@register("olmo2", roles=ROLES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.whole
    s.pre_norms = False
    s.post_norms = True
    window = config.integer("attention.sliding_window", default=0)
    every = config.integer("attention.sliding_window_pattern", default=EVERY, lo=1)
    if window:
        local = LayerSpec()
        local.rope_theta = config.positive("rope.freq_base_swa", default=s.layers[0].rope_theta)
        local.window = window
        s.layers = [s.layers[0] if (i + 1) % every == 0 else local for i in range(s.n_layers)]
    return s
