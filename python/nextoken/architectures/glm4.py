"""GLM 4 of 2025: sandwich norms, neighbours that rotate together in half of each head, gate and up in one matrix.

arXiv:2406.12793. `chatglm`, the generation before, has no norms behind attention and feed-forward.
"""

from __future__ import annotations

from nextoken._native import RopePairs, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.gemma2 import POST_NORMS
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QKV_BIASES,
    Translation,
    activation,
    folder,
    sizes,
)

ROLES = gpt2.without(llama.ROLES, "gate", "up", "rope_factors") | {
    "q_bias": "blk.{i}.attn_q.bias",
    "k_bias": "blk.{i}.attn_k.bias",
    "v_bias": "blk.{i}.attn_v.bias",
    "gate_up": "blk.{i}.ffn_up.weight",
}


@register(
    "chatglm",
    models="GLM-4 9B",
    own="half of each head rotates, neighbours together; gate and up in one matrix",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.adjacent
    return s


@register(
    "glm4",
    models="GLM-4-0414, GLM-Z1",
    own="chatglm with sandwich norms",
    roles=ROLES | POST_NORMS,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec_with_post_norms(config: Config) -> Spec:
    s = spec(config)
    s.post_norms = True
    return s


@folder("glm")
def hf_glm(config: ConfigJson) -> Translation:
    return _hf(config, Translation("chatglm", HF_TENSORS), 1.5625e-7)


@folder("glm4")
def hf_glm4(config: ConfigJson) -> Translation:
    return _hf(config, Translation("glm4", HF_TENSORS | HF_POST_NORMS), 1.5625e-7)


def _hf(config: ConfigJson, t: Translation, eps: float) -> Translation:
    sizes(config, t, n_ctx=131072, eps=eps, n_kv_heads=2, head_dim=128)
    activation(config, t)
    if config.flag("attention_bias", True):
        t.add(QKV_BIASES)
    same_positions(config, t, partial=True, share=0.5)
    return t


HF_TENSORS = {
    name: gguf for name, gguf in LLAMA_TENSORS.items() if "gate_proj" not in name and "up_proj" not in name
} | {"model.layers.{i}.mlp.gate_up_proj.weight": "blk.{i}.ffn_up.weight"}
HF_POST_NORMS = {
    "model.layers.{i}.post_self_attn_layernorm.weight": "blk.{i}.post_attention_norm.weight",
    "model.layers.{i}.post_mlp_layernorm.weight": "blk.{i}.post_ffw_norm.weight",
}
