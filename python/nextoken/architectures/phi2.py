"""Phi 1 to 2: GPT-NeoX whose attention and feed-forward read the same norm, and a head with a bias. arXiv:2309.05463"""

from __future__ import annotations

from nextoken._native import Gate, QKNorm, Residual, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import Translation, activation, folder, sizes

HEADS = {
    f"{x}_norm{role}": f"blk.{{i}}.attn_{x}_norm.{kind}"
    for x in "qk"
    for role, kind in (("", "weight"), ("_bias", "bias"))
}
ROLES = gpt2.without(gpt2.ROLES, "ffn_norm", "ffn_norm_bias") | {"lm_head_bias": "output.bias"}


@register(
    "phi2",
    models="Phi 1, 1.5, 2",
    own="GPT-NeoX with one norm, a head with a bias",
    roles=ROLES | HEADS,
    optional=gpt2.TIED | frozenset(HEADS),
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.gelu_tanh)
    s.residual = Residual.parallel_one_norm
    if config.has_tensor("blk.0.attn_q_norm.weight"):  # no released model has it
        s.qk_norm = QKNorm.per_head
    return s


@folder("phi")
def hf(config: ConfigJson) -> Translation:
    t = Translation("phi2", HF_TENSORS)
    sizes(config, t, eps=1e-5, layer_norm="layer_norm_eps")
    activation(config, t, "gelu_new")
    if config.flag("qk_layernorm", False):
        t.add(HF_HEADS)
    same_positions(config, t, partial=True, share=0.5)
    return t


HF_HEADS = gpt2.hf_parts(
    {f"model.layers.{{i}}.self_attn.{x}_layernorm": f"blk.{{i}}.attn_{x}_norm" for x in "qk"}
)
HF_TENSORS = {"model.embed_tokens.weight": "token_embd.weight"} | gpt2.hf_parts(
    {
        "lm_head": "output",
        "model.final_layernorm": "output_norm",
        "model.layers.{i}.input_layernorm": "blk.{i}.attn_norm",
        "model.layers.{i}.self_attn.q_proj": "blk.{i}.attn_q",
        "model.layers.{i}.self_attn.k_proj": "blk.{i}.attn_k",
        "model.layers.{i}.self_attn.v_proj": "blk.{i}.attn_v",
        "model.layers.{i}.self_attn.dense": "blk.{i}.attn_output",
        "model.layers.{i}.mlp.fc1": "blk.{i}.ffn_up",
        "model.layers.{i}.mlp.fc2": "blk.{i}.ffn_down",
    }
)
