"""InternLM 2: llama under another name. arXiv:2403.17297. Files of InternLM 3 say "llama"."""

from __future__ import annotations

from nextoken._native import Spec
from nextoken.architectures import llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register


@register("internlm2", roles=llama.ROLES | llama.BIASES, optional=llama.OPTIONAL, harmless=llama.HARMLESS)
def spec(config: Config) -> Spec:
    return llama.spec(config)
