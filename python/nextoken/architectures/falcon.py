"""Falcon: GPT-NeoX without biases, with few heads of k and v. arXiv:2311.16867

Of 7B attention and the feed-forward read the same norm, of 40B and more each its own, of RW one after the other.
"""

from __future__ import annotations

from nextoken._native import Gate, Residual, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import ROTARY_TABLES, Translation, activation, folder, sizes

ROLES = gpt2.without(gpt2.ROLES, "attn_norm", "attn_norm_bias", "ffn_norm", "ffn_norm_bias")
OPTIONAL = gpt2.TIED | frozenset(llama.BIASES)
ALIBI = "attention.max_alibi_bias"
NORM, SECOND = "blk.{i}.attn_norm", "blk.{i}.attn_norm_2"


@register(
    "falcon",
    models="Falcon 7B, 40B, 180B, 2, RW",
    own="few heads of k and v, one norm or two; RW has biases and rounded distances (ALiBi)",
    roles=ROLES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS | {"tensor_data_layout"},
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.gelu)
    two = config.has_tensor(SECOND.format(i=0) + ".weight")
    s.residual = Residual.parallel if two else Residual.parallel_one_norm
    attention, feed_forward = (SECOND, NORM) if two else (NORM, "blk.{i}.ffn_norm")
    if config.has_tensor("blk.0.ffn_norm.weight"):  # no file of a converter has it, a folder may
        s.residual = Residual.sequential
    s.alibi_bias = config.at_least_zero(ALIBI)
    if s.alibi_bias:
        s = gpt2.without_rotation(s)
        s.alibi_bf16 = True
    for i in range(s.n_layers):
        for role, kind in (("", "weight"), ("_bias", "bias")):
            config.plays(f"layers.{i}.attn_norm{role}", f"{attention.format(i=i)}.{kind}")
            if s.residual != Residual.parallel_one_norm:
                config.plays(f"layers.{i}.ffn_norm{role}", f"{feed_forward.format(i=i)}.{kind}")
    return s


@folder("falcon")
def hf(config: ConfigJson) -> Translation:
    """Rows of fused q, k, v go by groups of heads that share k and v, or head by head, or as they are."""
    t = Translation("falcon", prefixes=("", "transformer."), unused=(ROTARY_TABLES,))
    new = config.flag("new_decoder_architecture", False)
    one_kv_head = config.flag("multi_query", True) and not new
    config.call(
        num_attention_heads="n_head",
        num_hidden_layers="n_layer",
        intermediate_size="ffn_hidden_size",
        num_key_value_heads="num_kv_heads" if new else "",
    )
    n_kv_heads = 1 if one_kv_head else None
    sizes(config, t, eps=1e-5, n_kv_heads=n_kv_heads, tied=True, layer_norm="layer_norm_epsilon", ffn_times=4)
    config.ignore("num_kv_heads", "n_head_kv")
    parallel = config.flag("parallel_attn", True)
    two_norms = new and config.only("num_ln_in_parallel_attn", (None, 1, 2), None) != 1
    config.ignore("num_ln_in_parallel_attn")
    places = dict(HF_PLACES)
    if two_norms:
        places |= {"h.{i}.ln_attn": SECOND, "h.{i}.ln_mlp": NORM}
    else:
        places["h.{i}.input_layernorm"] = NORM
    if not new and not parallel:
        places["h.{i}.post_attention_layernorm"] = "blk.{i}.ffn_norm"
    matrices = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    t.tensors = HF_TOPS | gpt2.hf_parts(places, without_bias=matrices)
    if config.flag("bias", False):
        t.add({f"{name}.bias": f"{ours}.bias" for name, ours in HF_PLACES.items() if "blk" in ours})
    activation(config, t, "gelu", "activation")
    if config.flag("alibi", False):
        t.put(ALIBI, 8.0, "alibi")
        config.ignore("rope_parameters", "rope_scaling", "rope_theta")
    else:
        same_positions(config, t)
    t.qkv_groups = t.hparams["attention.head_count_kv"]
    return t


HF_TOPS = {"word_embeddings.weight": "token_embd.weight", "lm_head.weight": "output.weight"}
HF_PLACES = {
    "ln_f": "output_norm",
    "h.{i}.self_attention.query_key_value": "blk.{i}.attn_qkv",
    "h.{i}.self_attention.dense": "blk.{i}.attn_output",
    "h.{i}.mlp.dense_h_to_4h": "blk.{i}.ffn_up",
    "h.{i}.mlp.dense_4h_to_h": "blk.{i}.ffn_down",
}
