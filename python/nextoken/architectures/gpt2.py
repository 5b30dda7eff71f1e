"""GPT-2: layer norms, learned positions, GELU without a gate, biases everywhere. Radford et al. 2019

Most families before Llama are this one with a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nextoken._native import Gate, NormKind, RopePairs, Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import Translation, activation, folder, sizes

NORM_BIASES = {
    "final_norm_bias": "output_norm.bias",
    "attn_norm_bias": "blk.{i}.attn_norm.bias",
    "ffn_norm_bias": "blk.{i}.ffn_norm.bias",
}


def without(roles: Mapping[str, str], *names: str) -> dict[str, str]:
    """Roles but those."""
    return {role: tensor for role, tensor in roles.items() if role not in names}


# With and without biases of matrices.
PLAIN = without(llama.ROLES, "gate") | NORM_BIASES
ROLES = PLAIN | without(llama.BIASES, "gate_bias")
POSITIONS = {"positions": "position_embd.weight"}
TIED = frozenset({"lm_head", "rope_factors"})


@register(
    "gpt2",
    models="GPT-2",
    own="layer norms, learned positions, GELU without a gate, biases everywhere",
    roles=ROLES | POSITIONS,
    optional=TIED,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    return without_rotation(decoder(config))


def decoder(config: Config, gate: Gate = Gate.gelu_tanh) -> Spec:
    """Layer norms, and a feed-forward without a gate."""
    s = llama.decoder(config)
    s.norm = NormKind.layer
    s.norm_eps = config.positive("attention.layer_norm_epsilon")
    s.gated = False
    s.gate = gate
    s.rope_pairs = RopePairs.halves
    return s


def without_rotation(s: Spec) -> Spec:
    """Positions are learned, or distances."""
    layer = s.layers[0]
    layer.rotates = False
    s.layers = [layer] * s.n_layers
    s.n_rot = 0
    return s


@folder("gpt2")
def hf(config: ConfigJson) -> Translation:
    t = Translation(
        "gpt2", HF_TENSORS, prefixes=("", "transformer."), unused=(".attn.bias", ".attn.masked_bias")
    )
    config.call(**HF_NAMES)
    sizes(config, t, n_ctx=1024, eps=1e-5, tied=True, layer_norm="layer_norm_epsilon", ffn_times=4)
    activation(config, t, "gelu_new", "activation_function")
    unscaled, by_layer = not config.flag("scale_attn_weights", True), config.flag(BY_LAYER, False)

    def scale(spec: Spec, _n_ctx: int) -> None:
        if unscaled:
            spec.attention_scale = 1.0
        if by_layer:
            layers = spec.layers
            for i, layer in enumerate(layers):
                layer.attention_factor = 1.0 / (i + 1)
            spec.layers = layers

    t.changes.append(scale)
    config.only("add_cross_attention", (False,), False)
    config.ignore("n_ctx", "reorder_and_upcast_attn", *HF_SUMMARIES)
    t.transposed = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    return t


BY_LAYER = "scale_attn_by_inverse_layer_idx"


def hf_parts(
    places: Mapping[str, str],
    without_bias: Collection[str] = (),
    kinds: Collection[str] = ("weight", "bias"),
) -> dict[str, str]:
    """Weights and biases of both names; `without_bias` are GGUF's last names of what has none."""
    return {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in places.items()
        for kind in kinds
        if kind == "weight" or ours.rpartition(".")[2] not in without_bias
    }


HF_NAMES = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
HF_SUMMARIES = (
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
)
HF_TENSORS = {
    "wte.weight": "token_embd.weight",
    "wpe.weight": "position_embd.weight",
    "lm_head.weight": "output.weight",
} | hf_parts(
    {
        "ln_f": "output_norm",
        "h.{i}.ln_1": "blk.{i}.attn_norm",
        "h.{i}.attn.c_attn": "blk.{i}.attn_qkv",
        "h.{i}.attn.c_proj": "blk.{i}.attn_output",
        "h.{i}.ln_2": "blk.{i}.ffn_norm",
        "h.{i}.mlp.c_fc": "blk.{i}.ffn_up",
        "h.{i}.mlp.c_proj": "blk.{i}.ffn_down",
    }
)
