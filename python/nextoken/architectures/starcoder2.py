"""StarCoder 2: GPT-2 with rotary positions, grouped-query attention and a sliding window. arXiv:2402.19173"""

from __future__ import annotations

from nextoken._native import Gate, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import ATTENTION_BIASES, Translation, activation, folder, sizes

BIASES = frozenset(llama.BIASES)


@register(
    "starcoder2",
    models="StarCoder 2",
    own="layer norms, GELU without a gate, a sliding window",
    roles=gpt2.ROLES,
    optional=gpt2.TIED | BIASES,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.gelu_tanh)
    layer = s.layers[0]
    layer.window = config.integer("attention.sliding_window", default=0)
    s.layers = [layer] * s.n_layers
    return s


@folder("starcoder2")
def hf(config: ConfigJson) -> Translation:
    t = Translation("starcoder2", HF_TENSORS)
    sizes(config, t, n_ctx=4096, n_kv_heads=2, eps=1e-5, tied=True, layer_norm="norm_epsilon")
    activation(config, t, "gelu_pytorch_tanh")
    config.only("mlp_type", ("default",), "default")
    config.only("norm_type", ("layer_norm",), "layer_norm")
    if config.flag("use_bias", True):
        t.add(HF_BIASES)
    same_positions(config, t, window=llama.hf_window(config, None))
    return t


HF_BIASES = ATTENTION_BIASES | {
    "model.layers.{i}.mlp.c_fc.bias": "blk.{i}.ffn_up.bias",
    "model.layers.{i}.mlp.c_proj.bias": "blk.{i}.ffn_down.bias",
}
HF_TENSORS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "lm_head.weight": "output.weight",
} | gpt2.hf_parts(
    {
        "model.norm": "output_norm",
        "model.layers.{i}.input_layernorm": "blk.{i}.attn_norm",
        "model.layers.{i}.self_attn.q_proj": "blk.{i}.attn_q",
        "model.layers.{i}.self_attn.k_proj": "blk.{i}.attn_k",
        "model.layers.{i}.self_attn.v_proj": "blk.{i}.attn_v",
        "model.layers.{i}.self_attn.o_proj": "blk.{i}.attn_output",
        "model.layers.{i}.post_attention_layernorm": "blk.{i}.ffn_norm",
        "model.layers.{i}.mlp.c_fc": "blk.{i}.ffn_up",
        "model.layers.{i}.mlp.c_proj": "blk.{i}.ffn_down",
    },
    without_bias=("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"),
)
