"""DeepSeek V2, V3 and R1: attention to one latent a token, and many small experts. arXiv:2405.04434, arXiv:2412.19437

Moonlight and others have the same. Of V3's layers that predict a second token at once nothing is read.
"""

from __future__ import annotations

import math

from nextoken import _native
from nextoken._native import ExpertSpec, LatentSpec, RopePairs, RopeScaling, Spec
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_positions import same_positions
from nextoken.checkpoints.hf_translation import (
    EXPERTS,
    LLAMA_TENSORS,
    Translation,
    activation,
    folder,
    positive,
    sizes,
)

LATENTS = {
    "q_a": "blk.{i}.attn_q_a.weight",
    "q_a_norm": "blk.{i}.attn_q_a_norm.weight",
    "q_b": "blk.{i}.attn_q_b.weight",
    "kv_a": "blk.{i}.attn_kv_a_mqa.weight",
    "kv_a_norm": "blk.{i}.attn_kv_a_norm.weight",
    "kv_b": "blk.{i}.attn_kv_b.weight",
    "q_a_bias": "blk.{i}.attn_q_a.bias",
    "kv_a_bias": "blk.{i}.attn_kv_a_mqa.bias",
    "o_bias": "blk.{i}.attn_output.bias",
}
SPLIT = {
    "k_b": "blk.{i}.attn_k_b.weight",
    "v_b": "blk.{i}.attn_v_b.weight",
}
SHARED = {"choice_bias": "blk.{i}.exp_probs_b.bias"} | llama.SHARED_EXPERT
ROLES = gpt2.without(llama.ROLES, "k", "v") | LATENTS | SPLIT | llama.EXPERTS | SHARED
# Queries have a latent or none, keys and values are in one tensor or in two.
OPTIONAL = frozenset(
    {
        "lm_head",
        "rope_factors",
        "q",
        "q_a",
        "q_a_norm",
        "q_b",
        "kv_b",
        "q_a_bias",
        "kv_a_bias",
        "o_bias",
        *SPLIT,
        *SHARED,
    }
)
SIGMOID = 2  # of `expert_gating_func`; 1 is a softmax
HeadDims = tuple[int, int, int]  # of one: nope, rope, value
MOST = 65536  # of a rank or a head, as in the native Spec


@register(
    "deepseek2",
    models="DeepSeek V2, V2-Lite, V3, R1, Moonlight",
    own="attention to latents, shared and routed experts, groups of them, the first layers without",
    roles=ROLES,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    s = llama.stream(config)
    s.norm_eps = config.positive("attention.layer_norm_rms_epsilon")
    s.rope_pairs = RopePairs.adjacent
    latents(config, s)
    s.experts = experts(config, s)
    layer = s.layers[0]
    log_magnitude = config.at_least_zero("rope.scaling.yarn_log_multiplier")
    if log_magnitude and layer.rope_scaling == RopeScaling.yarn:  # it is in the scores, not in cos and sin
        layer.rope_log_magnitude = 0.0
        s.attention_scale *= stretched(log_magnitude, layer.rope_factor)
    s.layers = [layer] * s.n_layers
    leave_out_further(config, s)
    if config.has_tensor("blk.0.attn_k_b.weight"):  # some files have both
        config.spares(*(LATENTS["kv_b"].format(i=i) for i in range(s.n_layers)))
    return s


def leave_out_further(config: Config, s: Spec) -> None:
    """Layers behind the last that predict further tokens at once."""
    further = config.integer("nextn_predict_layers", default=0, hi=s.n_layers - 1)
    s.layers = s.layers[: s.n_layers - further]
    if further:
        config.spares_layers(s.n_layers)


def stretched(log_magnitude: float, factor: float) -> float:
    """YaRN's factor of scores, of q and k alike."""
    magnitude = 1.0 + log_magnitude * float(_native.kernels.exact_log(max(factor, 1.0)))
    return magnitude * magnitude


def latents(config: Config, s: Spec, value_dim: int | None = None) -> None:
    """Sizes of heads. Newer files say in key_length what is cached, and in key_length_mla what a head has."""
    latent = LatentSpec()
    latent.rank = config.integer("attention.kv_lora_rank", lo=1, hi=MOST)
    latent.q_rank = config.integer("attention.q_lora_rank", default=0, hi=MOST)
    s.n_rot = config.integer("rope.dimension_count", lo=2, hi=MOST)
    s.head_dim, s.n_kv_heads = latent.rank + s.n_rot, 1
    kind = "_mla" if config.has("attention.key_length_mla") else ""
    key_dim = config.integer("attention.key_length" + kind, lo=s.n_rot + 1, hi=MOST)
    latent.nope_dim = key_dim - s.n_rot
    latent.value_dim = config.integer("attention.value_length" + kind, default=value_dim, lo=1, hi=MOST)
    if kind:
        config.integer("attention.key_length", default=s.head_dim, lo=s.head_dim, hi=s.head_dim)
        config.integer("attention.value_length", default=latent.rank, lo=latent.rank, hi=latent.rank)
    # Keys are made for each head: it says how many those are, or that they share the latent.
    config.integer("attention.head_count_kv", default=s.n_heads, lo=1, hi=s.n_heads)
    s.attention_scale = 1.0 / math.sqrt(key_dim)
    s.latent = latent


def experts(config: Config, s: Spec) -> ExpertSpec:
    """Files of before V3 do not say how scores become weights: without a bias of the choice it is a softmax."""
    result = ExpertSpec()
    result.n_experts = config.integer("expert_count", default=0)
    result.n_used = config.integer("expert_used_count", default=0)
    result.ffn_size = config.integer("expert_feed_forward_length", default=s.ffn_size, lo=1, hi=llama.WIDEST)
    result.shared_ffn_size = config.integer("expert_shared_count", default=0, hi=1024) * result.ffn_size
    result.shared_weighted = False
    result.normalized = config.boolean("expert_weights_norm", False)
    result.scale = config.positive("expert_weights_scale", default=1.0)
    first = config.integer("leading_dense_block_count", default=0)
    result.dense_layers = list(range(min(first, s.n_layers)))
    biased = config.has_tensor(SHARED["choice_bias"].format(i=first))
    gating = config.integer("expert_gating_func", default=SIGMOID if biased else 1, lo=1, hi=SIGMOID)
    result.sigmoid = gating == SIGMOID
    result.n_groups = config.integer("expert_group_count", default=1, lo=1)
    result.n_groups_used = config.integer("expert_group_used_count", default=result.n_groups, lo=1)
    return result


@folder("deepseek_v2")
def hf_v2(config: ConfigJson) -> Translation:
    t = Translation("deepseek2", HF_TENSORS)
    sizes(config, t)
    hf_latents(config, t)
    config.only("mlp_bias", (False,), False)
    config.only("scoring_func", ("softmax",), "softmax")
    config.only("norm_topk_prob", (False, None), None)  # transformers does not apply it
    method = config.only("topk_method", ("greedy", "group_limited_greedy"), "greedy")
    hf_experts(config, t, n=64, shared=2, ffn_size=1407, scale=1.0, first=0)
    for key in ("n_group", "topk_group"):
        if method == "greedy":
            config.has(key)
        else:
            t.put(HF_GROUPS[key], config.integer(key), key)
    return t


@folder("deepseek_v3")
def hf_v3(config: ConfigJson) -> Translation:
    t = Translation("deepseek2", HF_TENSORS)
    sizes(config, t, n_ctx=4096)
    hf_latents(config, t)
    config.only("scoring_func", ("sigmoid",), "sigmoid")
    config.only("topk_method", ("noaux_tc",), "noaux_tc")
    hf_experts(config, t, n=256, shared=1, ffn_size=2048, scale=2.5, first=3, used=8)
    hf_sigmoids(config, t, groups=8, used=4)
    if not config.flag("rope_interleave", True):

        def halves(spec: Spec, _n_ctx: int) -> None:
            spec.rope_pairs = RopePairs.halves

        t.changes.append(halves)
    hf_leave_out_further(config, t)
    return t


def hf_latents(
    config: ConfigJson,
    t: Translation,
    *,
    rank: int = 512,
    q_rank: int = 1536,
    dims: HeadDims = (128, 64, 128),
) -> None:
    """Sizes of heads, positions, and biases where config.json asks for them."""
    n_heads = t.hparams["attention.head_count"]
    config.only("num_key_value_heads", (n_heads, None), None)
    activation(config, t)
    rank = config.integer("kv_lora_rank", rank)
    keys = ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    nope, rope, value = (config.integer(key, default) for key, default in zip(keys, dims, strict=True))
    config.only("qk_head_dim", (nope + rope, None), None)
    t.put("attention.key_length", rope, "qk_rope_head_dim")  # what rotates
    layer = same_positions(config, t)
    for name, number, origin in (
        ("attention.kv_lora_rank", rank, "kv_lora_rank"),
        ("attention.key_length", rank + rope, "kv_lora_rank"),
        ("attention.value_length", rank, "kv_lora_rank"),
        ("attention.key_length_mla", nope + rope, "qk_nope_head_dim"),
        ("attention.value_length_mla", value, "v_head_dim"),
        ("rope.dimension_count", rope, "qk_rope_head_dim"),
    ):
        t.put(name, number, origin)
    biases = dict(HF_BIASES)
    if config.is_null("q_lora_rank"):
        del biases["model.layers.{i}.self_attn.q_a_proj.bias"]
    else:
        t.put("attention.q_lora_rank", config.integer("q_lora_rank", q_rank), "q_lora_rank")
    if config.flag("attention_bias", False):
        t.add(biases)
    if layer.rope_scaling != RopeScaling.yarn:
        return
    rope_object = config.part("rope_scaling" if config.has("rope_scaling") else "rope_parameters")
    scale = stretched(0.1 * rope_object.number("mscale_all_dim", 0.0), layer.rope_factor)

    def stretch(spec: Spec, _n_ctx: int) -> None:
        spec.attention_scale *= scale

    t.changes.append(stretch)


def hf_experts(
    config: ConfigJson,
    t: Translation,
    *,
    n: int,
    shared: int,
    ffn_size: int,
    scale: float,
    first: int,
    used: int | None = None,
) -> None:
    """Experts from some layer on, some of which every token takes."""
    config.only("moe_layer_freq", (1,), 1)
    config.ignore("aux_loss_alpha", "ep_size", "seq_aux")
    t.put("expert_count", config.integer("n_routed_experts", n), "n_routed_experts")
    t.put("expert_used_count", config.integer("num_experts_per_tok", used), "num_experts_per_tok")
    t.put("expert_shared_count", config.integer("n_shared_experts", shared), "n_shared_experts")
    t.put(
        "expert_feed_forward_length",
        config.integer("moe_intermediate_size", ffn_size),
        "moe_intermediate_size",
    )
    t.put("expert_weights_scale", positive(config, "routed_scaling_factor", scale), "routed_scaling_factor")
    t.put(
        "leading_dense_block_count", config.integer("first_k_dense_replace", first), "first_k_dense_replace"
    )


def hf_sigmoids(config: ConfigJson, t: Translation, *, groups: int, used: int = 1) -> None:
    """Scores become weights one by one, and experts are chosen from the best groups."""
    t.put("expert_gating_func", SIGMOID, "scoring_func")
    t.put("expert_weights_norm", config.flag("norm_topk_prob", True), "norm_topk_prob")
    for key, default in (("n_group", groups), ("topk_group", used)):
        t.put(HF_GROUPS[key], config.integer(key, default), key)


def hf_leave_out_further(config: ConfigJson, t: Translation) -> None:
    """Tensors of layers behind the last that predict further tokens at once."""
    further = config.integer("num_nextn_predict_layers", config.integer("num_mtp_layers", 1))
    first = t.hparams["block_count"]
    t.unused += tuple(f"model.layers.{i}." for i in range(first, first + min(max(further, 0), 16)))


HF_GROUPS = {"n_group": "expert_group_count", "topk_group": "expert_group_used_count"}
HF_LATENTS = {
    "model.layers.{i}.self_attn.q_a_proj.weight": "blk.{i}.attn_q_a.weight",
    "model.layers.{i}.self_attn.q_a_layernorm.weight": "blk.{i}.attn_q_a_norm.weight",
    "model.layers.{i}.self_attn.q_b_proj.weight": "blk.{i}.attn_q_b.weight",
    "model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight": "blk.{i}.attn_kv_a_mqa.weight",
    "model.layers.{i}.self_attn.kv_a_layernorm.weight": "blk.{i}.attn_kv_a_norm.weight",
    "model.layers.{i}.self_attn.kv_b_proj.weight": "blk.{i}.attn_kv_b.weight",
}
HF_FEED_FORWARD = (
    LLAMA_TENSORS
    | EXPERTS
    | {
        "model.layers.{i}.mlp.gate.e_score_correction_bias": "blk.{i}.exp_probs_b.bias",
        "model.layers.{i}.mlp.shared_experts.gate_proj.weight": "blk.{i}.ffn_gate_shexp.weight",
        "model.layers.{i}.mlp.shared_experts.up_proj.weight": "blk.{i}.ffn_up_shexp.weight",
        "model.layers.{i}.mlp.shared_experts.down_proj.weight": "blk.{i}.ffn_down_shexp.weight",
    }
)
HF_TENSORS = HF_FEED_FORWARD | HF_LATENTS
HF_BIASES = {
    "model.layers.{i}.self_attn.q_a_proj.bias": "blk.{i}.attn_q_a.bias",
    "model.layers.{i}.self_attn.kv_a_proj_with_mqa.bias": "blk.{i}.attn_kv_a_mqa.bias",
    "model.layers.{i}.self_attn.o_proj.bias": "blk.{i}.attn_output.bias",
}
