"""Qwen 2 with a mixture of experts beside one that every token takes, by a weight of its own. arXiv:2407.10671"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama, qwen2
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import FULL, SLIDING, windows_of_qwen
from nextoken.checkpoints.hf_translation import (
    EXPERTS,
    LLAMA_TENSORS,
    QKV_BIASES,
    Translation,
    activation,
    experts,
    folder,
    sizes,
    sparse_layers,
)

ROLES = (
    llama.ROLES
    | llama.BIASES
    | llama.EXPERTS
    | llama.SHARED_EXPERT
    | {"shared_weight": "blk.{i}.ffn_gate_inp_shexp.weight"}
)


@register(
    "qwen2moe",
    models="Qwen 1.5 and 2 MoE",
    own="experts, on all layers or some, and one that every token takes",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = qwen2.spec(config)
    experts = llama.experts(config, config.integer("expert_feed_forward_length", lo=1))
    experts.shared_ffn_size = config.integer("expert_shared_feed_forward_length", lo=1)
    experts.normalized = False
    s.experts = experts
    return s


@folder("qwen2_moe")
def hf(config: ConfigJson) -> Translation:
    t = Translation("qwen2moe", LLAMA_TENSORS | EXPERTS | SHARED_TENSORS)
    sizes(config, t, n_ctx=32768, n_kv_heads=16)
    if config.flag("qkv_bias", True):
        t.add(QKV_BIASES)
    activation(config, t)
    experts(config, t, "num_experts")
    sparse_layers(config, t)
    for name, key in (
        ("expert_feed_forward_length", "moe_intermediate_size"),
        ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ):
        t.put(name, config.integer(key), key)
    first = config.integer("max_window_layers", 28)
    windows_of_qwen(
        config, t, [SLIDING if i % 2 == 0 and i < first else FULL for i in range(t.hparams["block_count"])]
    )
    return t


SHARED_TENSORS = {
    "model.layers.{i}.mlp.shared_expert_gate.weight": "blk.{i}.ffn_gate_inp_shexp.weight",
    "model.layers.{i}.mlp.shared_expert.gate_proj.weight": "blk.{i}.ffn_gate_shexp.weight",
    "model.layers.{i}.mlp.shared_expert.up_proj.weight": "blk.{i}.ffn_up_shexp.weight",
    "model.layers.{i}.mlp.shared_expert.down_proj.weight": "blk.{i}.ffn_down_shexp.weight",
}
