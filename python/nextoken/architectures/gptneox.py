"""GPT-NeoX and Pythia: GPT-2 with rotary positions for a part of each head and parallel residuals. arXiv:2204.06745"""

from __future__ import annotations

from nextoken._native import Gate, Residual, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import ROTARY_TABLES, Translation, activation, folder, sizes

BIASES = frozenset({"q_bias", "k_bias", "v_bias", "o_bias"})


@register(
    "gptneox",
    models="GPT-NeoX, Pythia",
    own="rotation of a part of each head, parallel residuals (or not), exact GELU",
    roles=gpt2.ROLES,
    optional=gpt2.TIED | BIASES,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.gelu)
    if config.boolean("use_parallel_residual", default=True):
        s.residual = Residual.parallel
    return s


@folder("gpt_neox")
def hf(config: ConfigJson) -> Translation:
    """Rows of fused q, k, v go head by head."""
    t = Translation("gptneox", HF_TENSORS, prefixes=("", "gpt_neox."))
    t.unused = (ROTARY_TABLES, ".attention.bias", ".attention.masked_bias")
    config.call(partial_rotary_factor="rotary_pct", rope_theta="rotary_emb_base")
    sizes(config, t, eps=1e-5, layer_norm="layer_norm_eps")
    activation(config, t, "gelu")
    if config.flag("attention_bias", True):
        t.add(HF_BIASES)
    parallel = config.flag("use_parallel_residual", True)
    t.put("use_parallel_residual", parallel, "use_parallel_residual")
    same_positions(config, t, partial=True, share=0.25)
    t.qkv_groups = t.hparams["attention.head_count"]
    return t


HF_ATTENTION = {
    "layers.{i}.attention.query_key_value": "blk.{i}.attn_qkv",
    "layers.{i}.attention.dense": "blk.{i}.attn_output",
}
HF_BIASES = {f"{theirs}.bias": f"{ours}.bias" for theirs, ours in HF_ATTENTION.items()}
HF_TENSORS = {
    "embed_in.weight": "token_embd.weight",
    "embed_out.weight": "output.weight",
    "lm_head.weight": "output.weight",
} | gpt2.hf_parts(
    HF_ATTENTION
    | {
        "final_layer_norm": "output_norm",
        "layers.{i}.input_layernorm": "blk.{i}.attn_norm",
        "layers.{i}.post_attention_layernorm": "blk.{i}.ffn_norm",
        "layers.{i}.mlp.dense_h_to_4h": "blk.{i}.ffn_up",
        "layers.{i}.mlp.dense_4h_to_h": "blk.{i}.ffn_down",
    },
    without_bias=("attn_qkv", "attn_output"),
)
