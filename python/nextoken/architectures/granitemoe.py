"""Granite 3 with a mixture of experts in every layer: granite's multipliers, Mixtral's routing."""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import granite, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_parts import Part
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import LLAMA_TENSORS, Translation, biases, experts, folder, sizes


@register(
    "granitemoe",
    roles=llama.ROLES | llama.BIASES | llama.EXPERTS,
    optional=llama.OPTIONAL,
    harmless=granite.HARMLESS,
)
def spec(config: Config) -> Spec:
    return granite.spec(config)


@folder("granitemoe")
def hf(config: ConfigJson) -> Translation:
    t = Translation("granitemoe", TENSORS, parts=PARTS)
    sizes(config, t)
    biases(config, t)
    granite.hf_multipliers(config, t)
    experts(config, t, "num_local_experts", normalized=True)
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
