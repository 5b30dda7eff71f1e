"""Hunyuan, dense: llama whose heads of q and k are normed after their rotation. Tencent 2025"""

from __future__ import annotations

from nextoken import _native
from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    Translation,
    activation,
    biases,
    folder,
    positive,
    sizes,
)


@register(
    "hunyuan-dense",
    models="Hunyuan, dense",
    own="heads normed after their rotation, a stretched base",
    roles=qwen3.ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.per_head
    s.qk_norm_rotated = True
    return s


@folder("hunyuan_v1_dense")
def hf(config: ConfigJson) -> Translation:
    t = Translation("hunyuan-dense", HF_TENSORS)
    sizes(config, t, eps=1e-5)
    activation(config, t)
    config.ignore("eod_token_id")
    biases(config, t)
    for key in ("rope_scaling", "rope_parameters"):
        scaling = config.part(key)
        if scaling.has("alpha"):
            return _stretched(config, t, key, scaling)
    same_positions(config, t)
    return t


def _stretched(config: ConfigJson, t: Translation, key: str, scaling: ConfigJson) -> Translation:
    """A larger base, once and for all, in the place of what "dynamic" says."""
    config.only("use_qk_norm", (True,), True)
    scaling.only("rope_type" if scaling.has("rope_type") else "type", ("dynamic",), "dynamic")
    scaling.ignore("type", "factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim")
    base = scaling.number("rope_theta", config.number("rope_theta", 10000.0))
    width, alpha = t.hparams["attention.key_length"], positive(scaling, "alpha")
    if width <= 2 or base < 1.0:
        raise config.error(key, "has an alpha that does not fit")
    scaling.require_all_read()
    plain = ConfigJson({}, config.path)
    power = float(_native.kernels.exact_pow(alpha, width / (width - 2)))
    same_positions(plain, t, theta=base * power)
    return t


HF_TENSORS = LLAMA_TENSORS | {
    "model.layers.{i}.self_attn.query_layernorm.weight": "blk.{i}.attn_q_norm.weight",
    "model.layers.{i}.self_attn.key_layernorm.weight": "blk.{i}.attn_k_norm.weight",
}
