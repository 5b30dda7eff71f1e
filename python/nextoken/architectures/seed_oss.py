"""Seed-OSS: llama with biases on q, k and v, and halves that rotate together.

https://github.com/ByteDance-Seed/seed-oss. What a file calls the norm behind attention stands before the feed-forward.
"""

from __future__ import annotations

from nextoken._native import RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    MLP_BIASES,
    QKV_BIASES,
    Translation,
    activation,
    folder,
    sizes,
)

NORM = "blk.{i}.post_attention_norm.weight"


@register(
    "seed_oss",
    models="Seed-OSS",
    own="biases of q, k and v",
    roles=llama.ROLES | llama.BIASES | {"ffn_norm": NORM},
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    return s


@folder("seed_oss")
def hf(config: ConfigJson) -> Translation:
    t = Translation("seed_oss", LLAMA_TENSORS | {"model.layers.{i}.post_attention_layernorm.weight": NORM})
    sizes(config, t, n_ctx=524288, n_kv_heads=8, head_dim=128)
    if config.flag("attention_bias", True):
        t.add(QKV_BIASES)
    if config.flag("attention_out_bias", False):
        t.add({"model.layers.{i}.self_attn.o_proj.bias": "blk.{i}.attn_output.bias"})
    if config.flag("mlp_bias", False):
        t.add(MLP_BIASES)
    activation(config, t)
    same_positions(config, t)
    return t
