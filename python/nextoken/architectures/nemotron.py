"""Nemotron 3 and 4, Minitron: layer norms whose weights are less one, squared ReLU without a gate. arXiv:2402.16819"""

from __future__ import annotations

from nextoken._native import Gate, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    ATTENTION_BIASES,
    LLAMA_TENSORS,
    MLP_BIASES,
    Translation,
    activation,
    folder,
    sizes,
)

OPTIONAL = gpt2.TIED | frozenset(llama.BIASES)
HARMLESS = llama.HARMLESS | {"attention.layer_norm_rms_epsilon"}  # newer converters write it twice


@register(
    "nemotron",
    models="Nemotron 3 and 4, Minitron",
    own="layer norms, squared ReLU without a gate",
    roles=gpt2.ROLES,
    optional=OPTIONAL,
    harmless=HARMLESS,
)
def spec(config: Config) -> Spec:
    return gpt2.decoder(config, Gate.relu_squared)


@folder("nemotron")
def hf(config: ConfigJson) -> Translation:
    t = Translation("nemotron", HF_TENSORS, norm_plus=1.0)
    sizes(config, t, n_ctx=4096, eps=1e-5, layer_norm="norm_eps")
    activation(config, t, "relu2")
    config.call(partial_rotary_factor="rope_percent")
    if config.flag("attention_bias", False):
        t.add(ATTENTION_BIASES)
    if config.flag("mlp_bias", False):
        t.add({name: gguf for name, gguf in MLP_BIASES.items() if "gate" not in name})
    same_positions(config, t, partial=True, share=0.5)
    return t


HF_TENSORS = {name: gguf for name, gguf in LLAMA_TENSORS.items() if "gate" not in name} | {
    name.replace(".weight", ".bias"): gguf.replace(".weight", ".bias")
    for name, gguf in LLAMA_TENSORS.items()
    if "norm" in gguf
}
