"""Families whose feed-forwards are gated, mixtures of experts and latents with them."""

from __future__ import annotations

from tests.models.draw import (
    FULL,
    Draw,
    Options,
    by_type,
    experts,
    layer_normed,
    layered,
    multipliers,
    partial,
    qwen_window,
    rotating,
    sparse,
    width_of,
)


def llama(d: Draw) -> Options:
    return rotating(d, free_head=True) | d.some({"attention_bias": True, "mlp_bias": True})


def mistral(d: Draw) -> Options:
    return rotating(d, free_head=True) | {"sliding_window": d.one(None, d.window())}


def mixtral(d: Draw) -> Options:
    o = mistral(d)
    return o | experts(d, "num_local_experts") | {"head_dim": width_of(o)}


def qwen2(d: Draw) -> Options:
    return qwen_window(d, rotating(d, free_head=True))


def qwen3(d: Draw) -> Options:
    o = rotating(d) | d.some({"attention_bias": True})
    return qwen_window(d, o | {"head_dim": d.one(width_of(o), 24)}) | {"rope_parameters": d.rope(24, "yarn")}


def qwen2_moe(d: Draw) -> Options:
    o = qwen_window(d, rotating(d, free_head=True)) | experts(d) | {"moe_intermediate_size": d.whole(1, 90)}
    o |= {"shared_expert_intermediate_size": d.whole(1, 90)}
    return o | sparse(d, o) | d.some({"norm_topk_prob": True, "qkv_bias": False})


def qwen3_moe(d: Draw) -> Options:
    o = (
        qwen_window(d, rotating(d, free_head=True), typed=False)
        | experts(d)
        | {"moe_intermediate_size": d.whole(1, 90)}
    )
    o |= {"head_dim": width_of(o)} | d.some({"norm_topk_prob": True, "attention_bias": True})
    return o | sparse(d, o)


def phi3(d: Draw) -> Options:
    o = rotating(d, "default", "longrope") | {"sliding_window": d.one(None, d.window())}
    rope = o["rope_parameters"]
    width = width_of(o)
    n_rot = d.one(width, 2 * d.whole(1, width // 2))
    rope["partial_rotary_factor"] = n_rot / width
    if "long_factor" in rope:
        rope |= {name: rope[name][: n_rot // 2] for name in ("long_factor", "short_factor")}
        o["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    return o


def smollm3(d: Draw) -> Options:
    o = rotating(d, free_head=True) | d.some(
        {"attention_bias": True, "mlp_bias": True, "no_rope_layer_interval": d.whole(1, 4)}
    )
    if d.flag():
        o["no_rope_layers"] = [d.whole(0, 1) for _ in range(o["num_hidden_layers"])]
    if d.flag():
        o |= {"use_sliding_window": d.flag(), "sliding_window": d.window()}
        if d.flag():
            o["layer_types"] = d.types(o["num_hidden_layers"])
    return o


def seed_oss(d: Draw) -> Options:
    o = llama(d)
    return o | {"head_dim": width_of(o)} | d.some({"attention_bias": False, "attention_out_bias": True})


def gemma(d: Draw) -> Options:
    o = rotating(d, free_head=True) | d.some({"attention_bias": True})
    return o | {"head_dim": width_of(o)}


def gated(o: Options) -> Options:
    """The function of the gate by its later name."""
    return {name if name != "hidden_act" else "hidden_activation": value for name, value in o.items()}


def gemma2(d: Draw) -> Options:
    o = gated(layered(d, gemma(d))) | {"query_pre_attn_scalar": d.whole(1, 200)}
    return o | d.some(
        {"attn_logit_softcapping": d.one(None, 3.0), "final_logit_softcapping": d.one(None, 5.0)}
    )


def gemma3(d: Draw) -> Options:
    o = gated(by_type(d, layered(d, gemma(d)))) | {"query_pre_attn_scalar": d.whole(1, 200)}
    return o | d.some({"final_logit_softcapping": 4.0})


def olmo2(d: Draw) -> Options:
    return rotating(d, free_head=True) | d.some({"attention_bias": True})


def olmo3(d: Draw) -> Options:
    return by_type(d, layered(d, olmo2(d)))


def olmoe(d: Draw) -> Options:
    o = rotating(d) | d.some({"attention_bias": True})
    return o | experts(d) | d.some({"clip_qkv": d.number(0.3, 3), "norm_topk_prob": True})


def granite(d: Draw) -> Options:
    return rotating(d, free_head=True) | multipliers(d) | d.some({"attention_bias": True, "mlp_bias": True})


def granitemoe(d: Draw) -> Options:
    o = rotating(d, free_head=True) | multipliers(d) | experts(d, "num_local_experts")
    return o | d.some({"attention_bias": True})


def granitemoeshared(d: Draw) -> Options:
    return granitemoe(d) | {"shared_intermediate_size": d.one(0, d.whole(1, 90))}


def gpt_oss(d: Draw) -> Options:
    o = layered(d, rotating(d, "default", "yarn", free_head=True)) | experts(d, "num_local_experts")
    return o | {"head_dim": width_of(o), "hidden_act": "silu"} | d.some({"attention_bias": False})


def cohere(d: Draw) -> Options:
    o = layer_normed(rotating(d, free_head=True)) | {"logit_scale": d.number(0.05, 2)}
    return o | d.some({"attention_bias": True, "use_qk_norm": True})


def cohere2(d: Draw) -> Options:
    o = layer_normed(rotating(d, free_head=True)) | {"logit_scale": d.number(0.05, 2)}
    return layered(d, o) | d.some({"attention_bias": True})


def glm(d: Draw) -> Options:
    o = rotating(d, free_head=True)
    o |= {"head_dim": width_of(o)}
    return partial(d, o) | d.some({"attention_bias": False})


def exaone4(d: Draw) -> Options:
    o = layered(d, rotating(d, free_head=True))
    if d.flag():
        o |= {"sliding_window": None, "layer_types": [FULL] * o["num_hidden_layers"]}
    elif "layer_types" not in o:
        o["sliding_window_pattern"] = d.whole(1, 4)
    return o


def nemotron(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d, free_head=True)), "norm_eps")
    return o | d.some({"attention_bias": True, "mlp_bias": True})


def ernie4_5(d: Draw) -> Options:
    o = rotating(d, free_head=True) | d.some({"use_bias": True})
    return o | {"head_dim": width_of(o)}


def hunyuan(d: Draw) -> Options:
    o = rotating(d, free_head=True) | d.some({"attention_bias": True})
    if d.flag():
        alpha = {"rope_type": "dynamic", "alpha": d.number(1, 1000), "factor": 1.0, "rope_theta": 10000.0}
        o["rope_parameters"] = alpha
    return o | {"head_dim": width_of(o)}


def arcee(d: Draw) -> Options:
    return llama(d)


def internlm3(d: Draw) -> Options:
    o = rotating(d, free_head=True)
    o |= {"head_dim": width_of(o)}
    return o | ({"attention_bias": True, "mlp_bias": True} if d.flag() else {})


def llama4(d: Draw) -> Options:
    o = rotating(d, "default", "linear", "yarn", "llama3", "dynamic", free_head=True)
    n = o["num_hidden_layers"]
    o |= experts(d, "num_local_experts") | {
        "head_dim": width_of(o),
        "intermediate_size_mlp": d.whole(1, 230),
        "interleave_moe_layer_step": d.whole(1, 3),
        "attention_chunk_size": d.one(None, d.window(), d.window()),
        "floor_scale": d.whole(1, 300),
        "attn_scale": d.number(0, 1),
    }
    if d.flag():
        o["no_rope_layers"] = [d.whole(0, 1) for _ in range(n)]
    if d.flag() and o["attention_chunk_size"]:
        o["layer_types"] = [d.one(FULL, "chunked_attention") for _ in range(n)]
    if d.flag():
        o["moe_layers"] = [i for i in range(n) if d.flag()]
    return o | d.some({"use_qk_norm": False, "attn_temperature_tuning": False, "attention_bias": True})


def latents(d: Draw) -> Options:
    o = rotating(d, "default", grouped=False)
    rope = 2 * d.whole(2, 8)
    o["rope_parameters"] = d.rope(rope, "default", "linear", "yarn")
    return o | {
        "num_key_value_heads": o["num_attention_heads"],
        "kv_lora_rank": 2 * d.whole(2, 30),
        "q_lora_rank": d.one(None, d.whole(3, 60)),
        "qk_nope_head_dim": 2 * d.whole(1, 15),
        "qk_rope_head_dim": rope,
        "v_head_dim": d.whole(1, 30),
    }


def minicpm3(d: Draw) -> Options:
    o = latents(d)
    o |= {
        "rope_parameters": d.rope(o["qk_rope_head_dim"], "default", "longrope"),
        "q_lora_rank": d.whole(3, 60),
    }
    return o | d.some(
        {
            "attention_bias": True,
            "scale_emb": d.number(1, 12),
            "scale_depth": d.one(None, d.number(0.5, 3)),
            "dim_model_base": d.whole(8, 300),
        }
    )


def deepseek_experts(d: Draw, o: Options, groups: bool) -> Options:
    n_groups = d.whole(1, 3)
    n = n_groups * d.whole(2, 4)
    used_groups = d.whole(1, n_groups)
    o |= {
        "n_routed_experts": n,
        "num_experts_per_tok": d.whole(1, n // n_groups * used_groups),
        "n_shared_experts": d.whole(1, 2),
        "moe_intermediate_size": d.whole(1, 60),
        "first_k_dense_replace": d.whole(0, o["num_hidden_layers"]),
        "routed_scaling_factor": d.number(0.5, 3),
    }
    return o | ({"n_group": n_groups, "topk_group": used_groups} if groups else {})


def glm4_moe(d: Draw) -> Options:
    o = rotating(d)
    o = deepseek_experts(d, partial(d, o | {"head_dim": width_of(o)}), True)
    return o | d.some({"attention_bias": True, "use_qk_norm": True, "norm_topk_prob": False})


def deepseek_v2(d: Draw) -> Options:
    limited = d.flag()
    o = deepseek_experts(d, latents(d), limited) | d.some({"attention_bias": True})
    return o | {"topk_method": "group_limited_greedy" if limited else "greedy"}


def deepseek_v3(d: Draw) -> Options:
    o = deepseek_experts(d, latents(d), True)
    return o | d.some({"attention_bias": True, "norm_topk_prob": False, "rope_interleave": False})
