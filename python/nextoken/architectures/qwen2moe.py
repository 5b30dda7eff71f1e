"""Qwen 2 with a mixture of experts beside one that every token takes, by a weight of its own. arXiv:2407.10671"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama, qwen2
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

ROLES = (
    llama.ROLES
    | llama.BIASES
    | llama.EXPERTS
    | {
        "shared_weight": "blk.{i}.ffn_gate_inp_shexp.weight",
        "shared_gate": "blk.{i}.ffn_gate_shexp.weight",
        "shared_up": "blk.{i}.ffn_up_shexp.weight",
        "shared_down": "blk.{i}.ffn_down_shexp.weight",
    }
)


@register("qwen2moe", roles=ROLES, optional=qwen2.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = qwen2.spec(config)
    experts = llama.experts(config, config.integer("expert_feed_forward_length", lo=1))
    experts.shared_ffn_size = config.integer("expert_shared_feed_forward_length", lo=1)
    experts.normalized = False
    s.experts = experts
    return s
