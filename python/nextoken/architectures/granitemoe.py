"""Granite 3 with a mixture of experts in every layer: granite's multipliers, Mixtral's routing.

Some add what an expert makes that every token takes, as it is.
"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import granite, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_parts import Part
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import LLAMA_TENSORS, Translation, biases, experts, folder, sizes

SHARED_SIZE = "expert_shared_feed_forward_length"


@register(
    "granitemoe",
    models="Granite 3 MoE, with a shared expert or without",
    own="granite with experts",
    roles=llama.ROLES | llama.BIASES | llama.EXPERTS | llama.SHARED_EXPERT,
    optional=llama.OPTIONAL | frozenset(llama.SHARED_EXPERT),
    harmless=granite.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = granite.spec(config)
    experts = s.experts
    shared = config.has_tensor(llama.SHARED_EXPERT["shared_up"].format(i=0))
    experts.shared_ffn_size = config.integer(SHARED_SIZE, default=None if shared else 0, lo=int(shared))
    experts.shared_weighted = False
    s.experts = experts
    return s


@folder("granitemoe", "granitemoeshared")
def hf(config: ConfigJson) -> Translation:
    t = Translation("granitemoe", TENSORS, parts=PARTS)
    sizes(config, t)
    biases(config, t)
    granite.hf_multipliers(config, t)
    experts(config, t, "num_local_experts", normalized=True)
    shared = config.integer("shared_intermediate_size", 0)
    if shared:
        t.put(SHARED_SIZE, shared, "shared_intermediate_size")
        t.parts = {**PARTS, **SHARED_PARTS}
        t.required += tuple(part.name for parts in SHARED_PARTS.values() for part in parts)
    same_positions(config, t)
    t.pair_heads()
    return t


TENSORS = {name: gguf for name, gguf in LLAMA_TENSORS.items() if ".mlp." not in name} | {
    "model.layers.{i}.block_sparse_moe.router.layer.weight": "blk.{i}.ffn_gate_inp.weight",
}
PARTS = {
    "model.layers.{i}.block_sparse_moe.input_linear.weight": (
        Part("blk.{i}.ffn_gate_exps.weight", 0, 2),
        Part("blk.{i}.ffn_up_exps.weight", 1, 2),
    ),
    "model.layers.{i}.block_sparse_moe.output_linear.weight": (Part("blk.{i}.ffn_down_exps.weight"),),
}
SHARED_PARTS = {
    "model.layers.{i}.shared_mlp.input_linear.weight": (
        Part("blk.{i}.ffn_gate_shexp.weight", 0, 2, experts=False),
        Part("blk.{i}.ffn_up_shexp.weight", 1, 2, experts=False),
    ),
    "model.layers.{i}.shared_mlp.output_linear.weight": (
        Part("blk.{i}.ffn_down_shexp.weight", experts=False),
    ),
}
