"""SmolLM3: llama in which every fourth layer is told no positions. https://huggingface.co/blog/smollm3"""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register

EVERY = 4  # files do not say it


@register("smollm3", roles=llama.ROLES | llama.BIASES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    silent = llama.layer(config)
    silent.rotates = False
    s.layers = [silent if (i + 1) % EVERY == 0 else s.layers[0] for i in range(s.n_layers)]
    return s
