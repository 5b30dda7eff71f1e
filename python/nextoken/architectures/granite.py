"""Granite 3: llama with four multipliers: of the embedding, the residual branches, q . k, and the logits.

arXiv:2407.13739, and muP, arXiv:2203.03466, where such multipliers come from.
"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import Translation, activation, biases, folder, positive, sizes

HARMLESS = llama.HARMLESS - {"rope.scaling.finetuned"}


@register(
    "granite",
    models="Granite 3",
    own="multipliers of embedding, residual, q . k and logits",
    roles=llama.ROLES | llama.BIASES,
    optional=llama.OPTIONAL,
    harmless=HARMLESS,
)
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


@folder("granite")
def hf(config: ConfigJson) -> Translation:
    t = Translation("granite")
    sizes(config, t)
    biases(config, t, mlp=True)
    hf_multipliers(config, t)
    same_positions(config, t)
    t.pair_heads()
    return t


def hf_multipliers(config: ConfigJson, t: Translation) -> None:
    """The four of this family."""
    activation(config, t)
    for name, key in (
        ("embedding_scale", "embedding_multiplier"),
        ("residual_scale", "residual_multiplier"),
        ("attention.scale", "attention_multiplier"),
        ("logit_scale", "logits_scaling"),
    ):
        t.put(name, positive(config, key, 1.0), key)
