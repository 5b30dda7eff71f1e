"""Gemma 2: Gemma with sandwich norms, soft caps, and a sliding window on every other layer. arXiv:2408.00118"""

from __future__ import annotations

import math

from nextoken._native import Spec
from nextoken.architectures import gemma, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import (
    FULL,
    SLIDING,
    copy,
    same_positions,
    sliding_window,
    types_of_layers,
)
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    SANDWICH_NORMS,
    Translation,
    activation,
    biases,
    folder,
    positive,
    sizes,
)

POST_NORMS = {
    "attn_post_norm": "blk.{i}.post_attention_norm.weight",
    "ffn_post_norm": "blk.{i}.post_ffw_norm.weight",
}
LAYERS_OF_27B = 46


@register(
    "gemma2",
    models="Gemma 2",
    own="sandwich norms, soft caps, every other layer local",
    roles=llama.ROLES | llama.BIASES | POST_NORMS,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gemma.spec(config)
    s.post_norms = True
    if s.n_layers == LAYERS_OF_27B:  # its queries are scaled by another width; files do not say it
        s.attention_scale = 1.0 / math.sqrt(s.hidden_size / s.n_heads)
    s.logit_soft_cap = config.soft_cap("final_logit_softcapping")
    s.attention_soft_cap = config.soft_cap("attn_logit_softcapping")
    local = llama.layer(config)
    local.window = config.integer("attention.sliding_window", default=4096, lo=1)
    s.layers = [local if i % 2 == 0 else s.layers[0] for i in range(s.n_layers)]
    return s


@folder("gemma2")
def hf(config: ConfigJson) -> Translation:
    t = Translation("gemma2", LLAMA_TENSORS | SANDWICH_NORMS, norm_plus=1.0)
    sizes(config, t, n_ctx=8192, n_kv_heads=4, head_dim=256, tied=True)
    biases(config, t)
    hf_scale(config, t)
    for key, default in (("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30.0)):
        if not config.is_null(key):
            t.put(key, config.number(key, default), key)
    layer = same_positions(config, t)
    types = types_of_layers(config, t, [FULL if i % 2 else SLIDING for i in range(t.hparams["block_count"])])
    local = copy(layer)
    local.window = sliding_window(config, types)
    config.only("sliding_window_size", (None, local.window), None)
    t.layers = [layer if kind == FULL else local for kind in types]
    return t


def hf_scale(config: ConfigJson, t: Translation) -> None:
    """What Gemma 2 and 3 have in common: the scale of queries is a key."""
    activation(config, t, "gelu_pytorch_tanh", "hidden_activation")
    config.only("hidden_act", ("gelu_pytorch_tanh", None), None)
    config.only("use_bidirectional_attention", (False, None), None)
    width = positive(config, "query_pre_attn_scalar", 256.0)

    def scale(spec: Spec, _n_ctx: int) -> None:
        spec.attention_scale = 1.0 / math.sqrt(width)

    t.changes.append(scale)
