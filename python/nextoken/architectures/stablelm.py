"""StableLM 2: llama with layer norms and rotary positions for a part of each head. arXiv:2402.17834

Of 12B, attention and the feed-forward read the same norm, and heads of q and k are normed, each by its own weight.
"""

from __future__ import annotations

from nextoken._native import Gate, QKNorm, Residual, Spec
from nextoken.architectures import gpt2, llama, qwen3
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    LLAMA_TENSORS,
    QKV_BIASES,
    Translation,
    activation,
    folder,
    sizes,
)

ROLES = qwen3.ROLES | gpt2.NORM_BIASES
OPTIONAL = llama.OPTIONAL | {"ffn_norm", "ffn_norm_bias", "q_norm", "k_norm"}


@register(
    "stablelm",
    models="StableLM 2, StableLM 3B",
    own="layer norms before SwiGLU; of 12B one norm, and heads normed by weights of their own",
    roles=ROLES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS | {"use_parallel_residual"},
)
def spec(config: Config) -> Spec:
    s = gpt2.decoder(config, Gate.silu)
    s.gated = True
    if not config.has_tensor("blk.0.ffn_norm.weight"):  # which tells, whatever the file says
        s.residual = Residual.parallel_one_norm
    if any(config.has_tensor(f"blk.0.attn_q_norm{part}.weight") for part in ("", ".0")):
        s.qk_norm = QKNorm.each_head
    return s


@folder("stablelm")
def hf(config: ConfigJson) -> Translation:
    t = Translation("stablelm", HF_TENSORS)
    sizes(config, t, n_ctx=4096, n_kv_heads=32, eps=1e-5, layer_norm="layer_norm_eps")
    activation(config, t)
    if config.flag("qk_layernorm", False):
        t.add(HF_HEADS)
    if config.flag("use_qkv_bias", False):
        t.add(QKV_BIASES)
    if config.flag("use_parallel_residual", False):
        t.tensors = {name: ours for name, ours in t.tensors.items() if "ffn_norm" not in ours}
    config.call(partial_rotary_factor="rope_pct")
    same_positions(config, t, partial=True, share=0.25)
    return t


HF_HEADS = {
    f"model.layers.{{i}}.self_attn.{x}_layernorm.norms.{{e}}.weight": f"blk.{{i}}.attn_{x}_norm.{{e}}.weight"
    for x in "qk"
}
HF_TENSORS = LLAMA_TENSORS | {
    name.replace(".weight", ".bias"): gguf.replace(".weight", ".bias")
    for name, gguf in LLAMA_TENSORS.items()
    if "norm" in gguf
}
