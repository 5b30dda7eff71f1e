"""BLOOM: GPT-2 whose positions are distances, and whose embeddings are normed. arXiv:2211.05100"""

from __future__ import annotations

from nextoken._native import Gate, Spec, StreamNorms
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import Translation, folder, sizes

ROLES = gpt2.ROLES | {
    "embedding_norm": "token_embd_norm.weight",
    "embedding_norm_bias": "token_embd_norm.bias",
}
ALIBI_BIAS = 8.0  # files do not say it


@register(
    "bloom",
    models="BLOOM, BLOOMZ",
    own="distances for positions (ALiBi), normed embeddings",
    roles=ROLES,
    optional=gpt2.TIED,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.without_rotation(gpt2.decoder(config, Gate.gelu_tanh))
    s.alibi_bias = ALIBI_BIAS
    return s


@folder("bloom")
def hf(config: ConfigJson) -> Translation:
    """Rows of fused q, k, v go head by head."""
    t = Translation("bloom", HF_TENSORS, prefixes=("", "transformer."))
    config.call(
        hidden_size="n_embed",
        max_position_embeddings="seq_length",
        num_attention_heads="n_head",
        num_hidden_layers="n_layer",
    )
    sizes(config, t, eps=1e-5, tied=True, layer_norm="layer_norm_epsilon", ffn_times=4)
    if config.flag("apply_residual_connection_post_layernorm", False):
        t.changes.append(norm_stream)
    config.ignore("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "offset_alibi")
    config.ignore("skip_bias_add", "skip_bias_add_qkv", "slow_but_exact")
    t.qkv_groups = t.hparams["attention.head_count"]
    return t


def norm_stream(spec: Spec, _n_ctx: int) -> None:
    """What attention and the feed-forward read is what they add to."""
    spec.pre_norms, spec.stream_norms = False, StreamNorms.before


HF_TENSORS = {
    "word_embeddings.weight": "token_embd.weight",
    "lm_head.weight": "output.weight",
} | gpt2.hf_parts(
    {
        "word_embeddings_layernorm": "token_embd_norm",
        "ln_f": "output_norm",
        "h.{i}.input_layernorm": "blk.{i}.attn_norm",
        "h.{i}.self_attention.query_key_value": "blk.{i}.attn_qkv",
        "h.{i}.self_attention.dense": "blk.{i}.attn_output",
        "h.{i}.post_attention_layernorm": "blk.{i}.ffn_norm",
        "h.{i}.mlp.dense_h_to_4h": "blk.{i}.ffn_up",
        "h.{i}.mlp.dense_4h_to_h": "blk.{i}.ffn_down",
    }
)
