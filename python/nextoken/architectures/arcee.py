"""Arcee: llama with squared ReLU and no gate. https://www.arcee.ai/blog/announcing-the-arcee-foundation-models"""

from __future__ import annotations

from nextoken._native import Gate, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    MLP_BIASES,
    Translation,
    activation,
    biases,
    folder,
    sizes,
)

ROLES = gpt2.without(llama.ROLES | llama.BIASES, "gate", "gate_bias")


@register(
    "arcee",
    models="Arcee AFM",
    own="llama with squared ReLU and no gate",
    roles=ROLES,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.gated = False
    s.gate = Gate.relu_squared
    return s


@folder("arcee")
def hf(config: ConfigJson) -> Translation:
    t = Translation("arcee", HF_TENSORS)
    sizes(config, t, n_ctx=4096, eps=1e-5)
    activation(config, t, "relu2")
    biases(config, t)
    if config.flag("mlp_bias", False):
        t.add({name: gguf for name, gguf in MLP_BIASES.items() if "gate" not in name})
    same_positions(config, t)
    t.pair_heads()
    return t


HF_TENSORS = {name: gguf for name, gguf in LLAMA_TENSORS.items() if "gate" not in name}
