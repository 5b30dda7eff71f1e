"""InternLM 2: llama under another name. arXiv:2403.17297. Files and folders of InternLM 3 are read as llama's."""

from __future__ import annotations

from nextoken._native import RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    ATTENTION_BIASES,
    MLP_BIASES,
    QKV_BIASES,
    Translation,
    activation,
    folder,
    sizes,
)


@register(
    "internlm2",
    models="InternLM 2 (files of InternLM 3 say `llama`, folders are read as its)",
    own="llama",
    roles=llama.ROLES | llama.BIASES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    return llama.spec(config)


@folder("internlm2")
def hf(config: ConfigJson) -> Translation:
    """Rows of fused q, k, v go by groups of heads that share k and v."""
    t = Translation("internlm2", HF_TENSORS)
    sizes(config, t)
    activation(config, t)
    config.ignore("attn_implementation")
    if config.flag("bias", False):
        t.add(HF_BIASES)
    same_positions(config, t)
    t.qkv_groups = t.hparams["attention.head_count_kv"]

    def halves(spec: Spec, _n_ctx: int) -> None:
        spec.rope_pairs = RopePairs.halves

    t.changes.append(halves)
    return t


@folder("internlm3")
def hf_3(config: ConfigJson) -> Translation:
    t = Translation("llama")
    sizes(config, t, n_ctx=32768, eps=1e-5, n_kv_heads=2, head_dim=128)
    activation(config, t)
    if config.flag("attention_bias", False):
        t.add(ATTENTION_BIASES)
    elif config.flag("qkv_bias", False):
        t.add(QKV_BIASES)
    if config.flag("bias", False):
        t.add({name: ours for name, ours in ATTENTION_BIASES.items() if name not in QKV_BIASES} | MLP_BIASES)
    elif config.flag("mlp_bias", False):
        t.add(MLP_BIASES)
    same_positions(config, t)
    t.pair_heads()
    return t


HF_TENSORS = {
    "model.tok_embeddings.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "output.weight": "output.weight",
    "model.layers.{i}.attention_norm.weight": "blk.{i}.attn_norm.weight",
    "model.layers.{i}.attention.wqkv.weight": "blk.{i}.attn_qkv.weight",
    "model.layers.{i}.attention.wo.weight": "blk.{i}.attn_output.weight",
    "model.layers.{i}.ffn_norm.weight": "blk.{i}.ffn_norm.weight",
    "model.layers.{i}.feed_forward.w1.weight": "blk.{i}.ffn_gate.weight",
    "model.layers.{i}.feed_forward.w3.weight": "blk.{i}.ffn_up.weight",
    "model.layers.{i}.feed_forward.w2.weight": "blk.{i}.ffn_down.weight",
}
HF_BIASES = {
    "model.layers.{i}.attention.wqkv.bias": "blk.{i}.attn_qkv.bias",
    "model.layers.{i}.attention.wo.bias": "blk.{i}.attn_output.bias",
}
