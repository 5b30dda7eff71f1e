"""MPT: GPT-2 without biases, with distances for positions, and q, k, v within bounds. MosaicML 2023"""

from __future__ import annotations

from nextoken._native import Gate, QKNorm, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import HARMLESS, ConfigJson
from nextoken.checkpoints.hf_translation import Translation, folder, positive, sizes

QK_NORMS = {
    f"{part}_norm{role}": f"blk.{{i}}.attn_{part}_norm.{kind}"
    for part in ("q", "k")
    for role, kind in (("", "weight"), ("_bias", "bias"))
}
OPTIONAL = gpt2.TIED | frozenset({*llama.BIASES, *gpt2.NORM_BIASES, *QK_NORMS, *gpt2.POSITIONS})


@register(
    "mpt",
    models="MPT",
    own="distances for positions, q, k and v within bounds",
    roles=gpt2.ROLES | QK_NORMS | gpt2.POSITIONS,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.without_rotation(gpt2.decoder(config, Gate.gelu))
    s.clip_qkv = config.soft_cap("attention.clamp_kqv")
    s.alibi_bias = config.at_least_zero("attention.max_alibi_bias")
    if config.has_tensor("blk.0.attn_q_norm.weight"):
        s.qk_norm = QKNorm.whole
    return s


@folder("mpt")
def hf(config: ConfigJson) -> Translation:
    t = Translation("mpt", HF_TENSORS, prefixes=("", "transformer."))
    config.call(
        hidden_size="d_model",
        max_position_embeddings="max_seq_len",
        num_attention_heads="n_heads",
        num_hidden_layers="n_layers",
    )
    times = config.integer("expansion_ratio", 4)
    sizes(config, t, eps=1e-5, tied=True, layer_norm="layer_norm_epsilon", ffn_times=times)
    config.only("no_bias", (True,), True)
    config.only("logit_scale", (None,), None)
    config.only("norm_type", ("low_precision_layernorm", "layernorm"), "low_precision_layernorm")
    config.ignore(
        "init_config", "init_device", "learned_pos_emb", "embedding_fraction", "tokenizer_name", "verbose"
    )
    attention = config.part("attn_config")
    attention.only("alibi", (True,), True)
    attention.only("attn_type", ("multihead_attention",), "multihead_attention")
    attention.only("qk_ln", (False,), False)
    attention.only("prefix_lm", (False,), False)
    attention.only("attn_uses_sequence_id", (False,), False)
    attention.ignore("attn_impl", "is_encoder_decoder")
    t.put(
        "attention.max_alibi_bias", positive(attention, "alibi_bias_max", 8.0), "attn_config.alibi_bias_max"
    )
    if attention.has("clip_qkv"):
        t.put("attention.clamp_kqv", positive(attention, "clip_qkv"), "attn_config.clip_qkv")
    if attention.has("softmax_scale"):
        scale = positive(attention, "softmax_scale")

        def set_scale(spec: Spec, _n_ctx: int) -> None:
            spec.attention_scale = scale

        t.changes.append(set_scale)
    attention.require_all_read(HARMLESS)
    return t


HF_TENSORS = {
    "wte.weight": "token_embd.weight",
    "lm_head.weight": "output.weight",
    "norm_f.weight": "output_norm.weight",
    "blocks.{i}.norm_1.weight": "blk.{i}.attn_norm.weight",
    "blocks.{i}.attn.Wqkv.weight": "blk.{i}.attn_qkv.weight",
    "blocks.{i}.attn.out_proj.weight": "blk.{i}.attn_output.weight",
    "blocks.{i}.norm_2.weight": "blk.{i}.ffn_norm.weight",
    "blocks.{i}.ffn.up_proj.weight": "blk.{i}.ffn_up.weight",
    "blocks.{i}.ffn.down_proj.weight": "blk.{i}.ffn_down.weight",
}
