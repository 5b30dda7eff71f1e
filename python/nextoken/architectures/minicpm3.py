"""MiniCPM 3: attention to latents, MiniCPM's multipliers, and frequencies stretched one by one. arXiv:2404.06395

Files do not say the multipliers, and llama.cpp has those of the one model there is: so it is here.
"""

from __future__ import annotations

import math

from nextoken._native import RopePairs, Spec
from nextoken.architectures import deepseek2, gpt2, llama, phi3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import LLAMA_TENSORS, Translation, folder, positive, sizes

ROLES = gpt2.without(llama.ROLES, "k", "v") | deepseek2.LATENTS
OPTIONAL = deepseek2.OPTIONAL - {"kv_b"}
EMBEDDING_SCALE, RESIDUAL_DEPTH, BASE_SIZE = 12.0, 1.4, 256.0


@register(
    "minicpm3",
    models="MiniCPM 3",
    own="attention to latents, MiniCPM's multipliers, LongRoPE chosen by `n_ctx`",
    roles=ROLES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.stream(config)
    s.norm_eps = config.positive("attention.layer_norm_rms_epsilon")
    s.rope_pairs = RopePairs.halves
    deepseek2.latents(config, s, value_dim=s.hidden_size // s.n_heads)
    multiply(s, EMBEDDING_SCALE, RESIDUAL_DEPTH, BASE_SIZE)
    layer = s.layers[0]
    if config.has_tensor(phi3.LONG):
        trained = config.integer("rope.scaling.original_context_length", default=s.n_ctx, lo=1)
        phi3.long_rope(config, s, layer, trained)
    s.layers = [layer] * s.n_layers
    return s


def multiply(s: Spec, embedding: float, depth: float, base: float) -> None:
    """Of embeddings, of what layers add, and of logits."""
    s.embedding_scale = embedding
    s.residual_scale = depth / math.sqrt(s.n_layers)
    s.logit_scale = base / s.hidden_size


@folder("minicpm3")
def hf(config: ConfigJson) -> Translation:
    t = Translation("minicpm3", LLAMA_TENSORS | deepseek2.HF_LATENTS)
    sizes(config, t, n_ctx=32768, eps=1e-5, tied=True)
    n_heads, n_layers = t.hparams["attention.head_count"], t.hparams["block_count"]
    value_dim = t.hparams["embedding_length"] // n_heads
    deepseek2.hf_latents(config, t, rank=256, q_rank=768, dims=(64, 32, value_dim))
    config.only("mlp_bias", (False,), False)
    config.ignore("original_max_position_embeddings")
    embedding = positive(config, "scale_emb", EMBEDDING_SCALE)
    depth = (
        math.sqrt(n_layers)
        if config.is_null("scale_depth")
        else positive(config, "scale_depth", RESIDUAL_DEPTH)
    )
    base = positive(config, "dim_model_base", BASE_SIZE)

    def change(spec: Spec, _n_ctx: int) -> None:
        multiply(spec, embedding, depth, base)

    t.changes.append(change)
    return t
