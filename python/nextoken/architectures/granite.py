"""Granite 3: llama with four multipliers: of the embedding, the residual branches, q . k, and the logits.

arXiv:2407.13739, and muP, arXiv:2203.03466, where such multipliers come from.
"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

HARMLESS = llama.HARMLESS - {"rope.scaling.finetuned"}


@register("granite", roles=llama.ROLES | llama.BIASES, optional=llama.OPTIONAL, harmless=HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.embedding_scale = config.positive("embedding_scale", default=1.0)
    s.residual_scale = config.positive("residual_scale", default=1.0)
    s.attention_scale = config.positive("attention.scale", default=s.attention_scale)
    s.logit_scale = 1.0 / config.positive("logit_scale")
    if not config.boolean("rope.scaling.finetuned", default=True):  # so these files say "no positions"
        layer = s.layers[0]
        layer.rotates = False
        s.layers = [layer] * s.n_layers
    return s
