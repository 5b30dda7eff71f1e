"""OPT: GPT-2 with ReLU. arXiv:2205.01068. Its positions begin at the third row of their table."""

from __future__ import annotations

from nextoken._native import Gate, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import Translation, folder, sizes

FIRST_POSITION = 2


@register("opt", roles=gpt2.ROLES | gpt2.POSITIONS, optional=gpt2.TIED, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    return gpt2.without_rotation(gpt2.decoder(config, Gate.relu))


@folder("opt")
def hf(config: ConfigJson) -> Translation:
    t = Translation("opt", HF_TENSORS, prefixes=("", "model.", "model.decoder.", "decoder."))
    config.call(intermediate_size="ffn_dim")
    config.only("layer_norm_eps", (1e-5,), 1e-5)
    sizes(config, t, eps=1e-5, tied=True, layer_norm="layer_norm_eps")
    gpt2.hf_activation(config, t, "activation_function", "relu")
    for key, value in (
        ("do_layer_norm_before", True),
        ("_remove_final_layer_norm", False),
        ("enable_bias", True),
        ("layer_norm_elementwise_affine", True),
    ):
        config.only(key, (value,), value)
    config.only("word_embed_proj_dim", (None, t.hparams["embedding_length"]), None)
    config.ignore("activation_dropout")
    t.skipped_rows = {"position_embd.weight": FIRST_POSITION}
    return t


HF_TENSORS = {
    "embed_tokens.weight": "token_embd.weight",
    "embed_positions.weight": "position_embd.weight",
    "lm_head.weight": "output.weight",
} | gpt2.hf_parts(
    {
        "final_layer_norm": "output_norm",
        "layers.{i}.self_attn_layer_norm": "blk.{i}.attn_norm",
        "layers.{i}.self_attn.q_proj": "blk.{i}.attn_q",
        "layers.{i}.self_attn.k_proj": "blk.{i}.attn_k",
        "layers.{i}.self_attn.v_proj": "blk.{i}.attn_v",
        "layers.{i}.self_attn.out_proj": "blk.{i}.attn_output",
        "layers.{i}.final_layer_norm": "blk.{i}.ffn_norm",
        "layers.{i}.fc1": "blk.{i}.ffn_up",
        "layers.{i}.fc2": "blk.{i}.ffn_down",
    }
)
