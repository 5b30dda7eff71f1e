"""Command R: llama with layer norms, one for attention and the feed-forward, and a tied head whose logits are scaled.

Cohere 2024. Of 104B heads of q and k are normed, each by its own weight.
"""

from __future__ import annotations

from nextoken._native import Gate, QKNorm, Residual, RopePairs, Spec
from nextoken.architectures import gpt2, llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QK_NORMS,
    Translation,
    activation,
    biases,
    folder,
    positive,
    sizes,
)

ROLES = gpt2.without(qwen3.ROLES, "ffn_norm")
OPTIONAL = llama.OPTIONAL | {"q_norm", "k_norm"}


@register(
    "command-r",
    models="Command R, R+",
    own="llama with layer norms, one norm, scaled logits; of R+ normed heads",
    roles=ROLES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.silu)
    s.gated = True
    s.rope_pairs = RopePairs.adjacent
    s.residual = Residual.parallel_one_norm
    s.logit_scale = config.positive("logit_scale", default=1.0)
    if config.has_tensor("blk.0.attn_q_norm.weight"):
        s.qk_norm = QKNorm.each_head
    return s


@folder("cohere")
def hf(config: ConfigJson) -> Translation:
    t = Translation("command-r", HF_TENSORS)
    hf_sizes(config, t)
    if config.flag("use_qk_norm", False):
        t.add(QK_NORMS)
    same_positions(config, t, theta=5e5)
    return t


def hf_sizes(config: ConfigJson, t: Translation) -> None:
    """What both generations have in common."""
    config.only("layer_norm_bias", (False,), False)
    sizes(config, t, n_ctx=8192, eps=1e-5, tied=True, layer_norm="layer_norm_eps")
    activation(config, t)
    biases(config, t)
    t.put("logit_scale", positive(config, "logit_scale", 0.0625), "logit_scale")


HF_TENSORS = {name: gguf for name, gguf in LLAMA_TENSORS.items() if "ffn_norm" not in gguf}
