"""GPT-J: one norm for attention and the feed-forward, neighbours that rotate together, a head with a bias.

Wang and Komatsuzaki 2021, https://github.com/kingoflolz/mesh-transformer-jax
"""

from __future__ import annotations

from nextoken._native import Gate, Residual, RopePairs, Spec
from nextoken.architectures import gpt2, llama, phi2
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import Translation, activation, folder, sizes

ROLES = gpt2.without(phi2.ROLES, "q_bias", "k_bias", "v_bias", "o_bias")


@register(
    "gptj",
    models="GPT-J",
    own="neighbours rotate together, one norm for attention and feed-forward, a head with a bias",
    roles=ROLES,
    optional=gpt2.TIED,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.gelu_tanh)
    s.rope_pairs = RopePairs.adjacent
    s.residual = Residual.parallel_one_norm
    return s


@folder("gptj")
def hf(config: ConfigJson) -> Translation:
    t = Translation(
        "gptj", HF_TENSORS, prefixes=("", "transformer."), unused=(".attn.bias", ".attn.masked_bias")
    )
    config.call(**gpt2.HF_NAMES)
    sizes(config, t, eps=1e-5, layer_norm="layer_norm_epsilon", ffn_times=4)
    activation(config, t, "gelu_new", "activation_function")
    config.only("rotary", (True,), True)
    config.only("scale_attn_weights", (True,), True)
    config.ignore("n_ctx", "tokenizer_class", *gpt2.HF_SUMMARIES)
    t.put("rope.dimension_count", config.integer("rotary_dim", 64), "rotary_dim")
    return t


HF_TENSORS = {"wte.weight": "token_embd.weight"} | gpt2.hf_parts(
    {
        "lm_head": "output",
        "ln_f": "output_norm",
        "h.{i}.ln_1": "blk.{i}.attn_norm",
        "h.{i}.attn.q_proj": "blk.{i}.attn_q",
        "h.{i}.attn.k_proj": "blk.{i}.attn_k",
        "h.{i}.attn.v_proj": "blk.{i}.attn_v",
        "h.{i}.attn.out_proj": "blk.{i}.attn_output",
        "h.{i}.mlp.fc_in": "blk.{i}.ffn_up",
        "h.{i}.mlp.fc_out": "blk.{i}.ffn_down",
    },
    without_bias=("attn_q", "attn_k", "attn_v", "attn_output"),
)
