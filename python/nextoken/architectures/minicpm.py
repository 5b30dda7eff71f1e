"""MiniCPM 1 and 2: llama with multipliers of the embedding, the residual branches and the logits. arXiv:2404.06395"""

from __future__ import annotations

import math

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import Translation, activation, biases, folder, positive, sizes


@register(
    "minicpm",
    models="MiniCPM 1, 2",
    own="multipliers of embedding, residual and logits",
    roles=llama.ROLES | llama.BIASES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.embedding_scale = config.positive("embedding_scale")
    s.residual_scale = config.positive("residual_scale")
    s.logit_scale = 1.0 / config.positive("logit_scale")
    return s


@folder("minicpm")
def hf(config: ConfigJson) -> Translation:
    t = Translation("minicpm")
    sizes(config, t, tied=True)
    activation(config, t)
    config.only("num_experts", (None, 0), None)
    biases(config, t)
    n_layers, hidden = t.hparams["block_count"], t.hparams["embedding_length"]
    for name, value, key in (
        ("embedding_scale", positive(config, "scale_emb", 1.0), "scale_emb"),
        ("residual_scale", positive(config, "scale_depth", 1.0) / math.sqrt(max(n_layers, 1)), "scale_depth"),
        ("logit_scale", hidden / positive(config, "dim_model_base", 1.0), "dim_model_base"),
    ):
        t.put(name, value, key)
    same_positions(config, t)
    t.pair_heads()
    return t
