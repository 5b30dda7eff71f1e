"""OLMoE: llama with a mixture of experts, and q and k normed as wholes. arXiv:2409.02060"""

from __future__ import annotations

from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    EXPERTS,
    LLAMA_TENSORS,
    QK_NORMS,
    Translation,
    activation,
    biases,
    folder,
    positive,
    sizes,
)
from nextoken.checkpoints.hf_translation import experts as hf_experts


@register(
    "olmoe",
    models="OLMoE",
    own="experts, q and k normed as wholes, and clipped where a folder says so",
    roles=qwen3.ROLES | llama.EXPERTS,
    optional=llama.OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    s.qk_norm = QKNorm.whole
    experts = s.experts
    experts.normalized = False
    s.experts = experts
    return s


@folder("olmoe")
def hf(config: ConfigJson) -> Translation:
    t = Translation("olmoe", LLAMA_TENSORS | QK_NORMS | EXPERTS)
    sizes(config, t, n_ctx=4096, eps=1e-5)
    biases(config, t)
    if config.has("clip_qkv"):
        limit = positive(config, "clip_qkv")

        def clip(spec: Spec, _n_ctx: int) -> None:
            spec.clip_qkv = limit

        t.changes.append(clip)
    activation(config, t)
    hf_experts(config, t, "num_experts")
    same_positions(config, t)
    return t
