"""GLM-4.5 and 4.6: llama's attention, half of each head rotating, with DeepSeek V3's experts. arXiv:2508.06471

What a file calls the norm behind attention stands before the feed-forward. Of layers that predict a second token at
once nothing is read.
"""

from __future__ import annotations

from nextoken._native import QKNorm, RopePairs, Spec
from nextoken.architectures import deepseek2, llama, qwen3, seed_oss
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import QK_NORMS, QKV_BIASES, Translation, activation, folder, sizes

ROLES = qwen3.ROLES | llama.EXPERTS | deepseek2.SHARED | {"ffn_norm": seed_oss.NORM}
OPTIONAL = llama.OPTIONAL | frozenset({"q_norm", "k_norm", *deepseek2.SHARED})


@register(
    "glm4moe",
    models="GLM-4.5, 4.6",
    own="half of each head rotates, DeepSeek V3's experts, normed heads or not",
    roles=ROLES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.spec(config)
    s.rope_pairs = RopePairs.halves
    if config.has_tensor(ROLES["q_norm"].format(i=0)):
        s.qk_norm = QKNorm.per_head
    s.experts = deepseek2.experts(config, s)
    deepseek2.leave_out_further(config, s)
    return s


@folder("glm4_moe")
def hf(config: ConfigJson) -> Translation:
    t = Translation("glm4moe", HF_TENSORS)
    sizes(config, t, n_ctx=131072, eps=1e-5, n_kv_heads=8)
    if config.flag("attention_bias", False):
        t.add(QKV_BIASES)
    if config.flag("use_qk_norm", False):
        t.add(QK_NORMS)
    activation(config, t)
    deepseek2.hf_experts(config, t, n=128, shared=1, ffn_size=1408, scale=1.0, first=1, used=8)
    deepseek2.hf_sigmoids(config, t, groups=1)
    deepseek2.hf_leave_out_further(config, t)
    same_positions(config, t, partial=True, share=0.5)
    return t


HF_TENSORS = deepseek2.HF_FEED_FORWARD | {"model.layers.{i}.post_attention_layernorm.weight": seed_oss.NORM}
