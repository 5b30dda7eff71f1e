"""Configurations of every family as a stranger might write them: odd sizes, windows, positions, biases, experts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Options = dict[str, Any]
N_CTX = 512
FULL, SLIDING = "full_attention", "sliding_attention"
GATES = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu2", "silu", "swish", "gelu_fast")


class Draw:
    """Choices that a seed makes."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def one(self, *values: Any) -> Any:
        return self._random.choice(values)

    def whole(self, lo: int, hi: int) -> int:
        return self._random.randint(lo, hi)

    def number(self, lo: float, hi: float) -> float:
        return round(self._random.uniform(lo, hi), 4)

    def flag(self) -> bool:
        return self._random.random() < 0.5

    def some(self, options: Options) -> Options:
        """Each of them or its default."""
        return {name: value for name, value in options.items() if self.flag()}

    def window(self) -> int:
        return self.one(1, 2, 17, 33, 64, 100, 255)

    def types(self, n: int) -> list[str]:
        return [self.one(FULL, SLIDING) for _ in range(n)]

    def heads(self, *, even: bool = True, most: int = 8) -> tuple[int, int, int]:
        """Heads, heads of k and v, and their width."""
        n_kv, group = self.whole(1, 3), self.whole(1, most // 3 + 1)
        width = self.one(8, 12, 16, 18, 20, 24, 32, 40) if even else self.one(7, 8, 15, 16, 24)
        return n_kv * group, n_kv, width

    def sizes(self, *, free_head: bool = False, even: bool = True, grouped: bool = True) -> Options:
        """What all have. `free_head`: heads need not add up to the stream."""
        n, n_kv, width = self.heads(even=even)
        options = {
            "vocab_size": self.whole(60, 400),
            "hidden_size": n * width,
            "intermediate_size": self.whole(1, 230),
            "num_hidden_layers": self.whole(1, 6),
            "num_attention_heads": n,
            "max_position_embeddings": N_CTX,
            "tie_word_embeddings": self.flag(),
        }
        if grouped:
            options["num_key_value_heads"] = n_kv
        if free_head and self.flag():  # transformers wants whole heads all the same
            options |= {"hidden_size": n * self.whole(3, 25), "head_dim": width}
        return options

    def rope(self, width: int, *kinds: str) -> Options:
        """Positions, one of `kinds` or of all."""
        kind = self.one(*(kinds or ("default", "linear", "yarn", "llama3", "dynamic", "longrope")))
        options: Options = {"rope_type": kind, "rope_theta": self.one(100.0, 5000.0, 1e4, 5e5, 1e6)}
        factor = self.one(2.0, 4.0, 7.5)
        trained = self.one(64, 128, 200)
        if kind in ("linear", "dynamic"):
            options["factor"] = factor
        if kind == "yarn":
            options |= {"factor": factor, "original_max_position_embeddings": trained}
            options |= self.some(
                {
                    "beta_fast": self.number(8, 40),
                    "beta_slow": self.number(0.5, 2),
                    "truncate": self.flag(),
                    "attention_factor": self.number(0.5, 1.5),
                    "mscale": self.number(0.5, 1.5),
                    "mscale_all_dim": self.number(0.5, 1.5),
                }
            )
        if kind == "llama3":
            options |= {
                "factor": factor,
                "low_freq_factor": self.one(1.0, 0.5),
                "high_freq_factor": self.one(4.0, 2.5),
                "original_max_position_embeddings": trained,
            }
        if kind == "longrope":
            for name in ("long_factor", "short_factor"):
                options[name] = [self.number(1, 4) for _ in range(width // 2)]
            options["original_max_position_embeddings"] = trained
            options |= self.some({"factor": factor, "attention_factor": self.number(0.8, 1.4)})
        return options


def width_of(options: Options) -> int:
    return int(options.get("head_dim") or options["hidden_size"] // options["num_attention_heads"])


def rotating(d: Draw, *kinds: str, **how: bool) -> Options:
    o = d.sizes(**how)
    o["rope_parameters"] = d.rope(width_of(o), *kinds)
    o["max_position_embeddings"] = d.one(N_CTX, N_CTX, 200)
    return o | {"rms_norm_eps": d.one(1e-6, 1e-5, 1e-3), "hidden_act": d.one("silu", *GATES)}


def layered(d: Draw, o: Options) -> Options:
    """Windows on some layers."""
    if d.flag():
        o["layer_types"] = d.types(o["num_hidden_layers"])
    return o | {"sliding_window": d.window()}


def by_type(d: Draw, o: Options) -> Options:
    """Positions of their own for layers that slide."""
    kinds = ("default", "linear", "yarn", "llama3")
    o["rope_parameters"] = {kind: d.rope(width_of(o), *kinds) for kind in (FULL, SLIDING)}
    return o


def experts(d: Draw, count: str = "num_experts") -> Options:
    n = d.whole(1, 9)
    return {count: n, "num_experts_per_tok": d.whole(1, n)}


def partial(d: Draw, o: Options) -> Options:
    """Only a part of each head rotates."""
    width = width_of(o)
    n_rot = 2 * d.whole(2, width // 2)
    o["rope_parameters"] = d.rope(n_rot, "default", "linear", "yarn", "dynamic") | {
        "partial_rotary_factor": n_rot / width
    }
    return o


def layer_normed(o: Options, eps: str = "layer_norm_eps") -> Options:
    return {name if name != "rms_norm_eps" else eps: value for name, value in o.items()}


def multipliers(d: Draw) -> Options:
    return {
        "embedding_multiplier": d.number(1, 12),
        "residual_multiplier": d.number(0.1, 1),
        "attention_multiplier": d.number(0.01, 0.3),
        "logits_scaling": d.number(0.5, 8),
    }


def qwen_window(d: Draw, o: Options, *, typed: bool = True) -> Options:
    if d.flag():
        o |= {
            "use_sliding_window": True,
            "sliding_window": d.window(),
            "max_window_layers": d.whole(0, o["num_hidden_layers"]),
        }
        if typed and d.flag():
            o["layer_types"] = d.types(o["num_hidden_layers"])
    return o


def sparse(d: Draw, o: Options) -> Options:
    """Experts on some layers only."""
    n = o["num_hidden_layers"]
    return d.some(
        {"decoder_sparse_step": d.whole(1, 3), "mlp_only_layers": [i for i in range(n) if d.flag()]}
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


def gpt(d: Draw, *, even: bool) -> Options:
    o = d.sizes(even=even, grouped=False)
    return {
        "vocab_size": o["vocab_size"],
        "n_embd": o["hidden_size"],
        "n_layer": o["num_hidden_layers"],
        "n_head": o["num_attention_heads"],
        "n_positions": N_CTX,
        "n_inner": d.one(None, o["intermediate_size"]),
        "activation_function": d.one(*GATES),
        "layer_norm_epsilon": d.one(1e-5, 1e-3),
        "tie_word_embeddings": o["tie_word_embeddings"],
    }


def gpt2(d: Draw) -> Options:
    return gpt(d, even=False) | d.some(
        {
            "scale_attn_weights": False,
            "scale_attn_by_inverse_layer_idx": True,
            "reorder_and_upcast_attn": True,
        }
    )


def gptj(d: Draw) -> Options:
    o = gpt(d, even=True)
    return o | {"rotary_dim": 2 * d.whole(1, o["n_embd"] // o["n_head"] // 2)}


def gpt_neox(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d, grouped=False)))
    return o | d.some({"use_parallel_residual": False, "attention_bias": False})


def phi(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d)))
    return o | d.some({"qk_layernorm": True})


def stablelm(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d)))
    return o | d.some({"use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True})


def starcoder2(d: Draw) -> Options:
    o = layer_normed(rotating(d, free_head=True), "norm_epsilon")
    return o | d.some({"use_bias": False, "sliding_window": d.window()})


def falcon(d: Draw) -> Options:
    o = layer_normed(rotating(d, "default", "linear", "yarn", "dynamic"), "layer_norm_epsilon")
    n_kv = o.pop("num_key_value_heads")
    o |= {"ffn_hidden_size": d.one(None, o.pop("intermediate_size")), "activation": o.pop("hidden_act")}
    o |= d.some({"bias": True, "alibi": d.whole(0, 2) == 0})
    if d.flag():
        return o | d.some({"multi_query": False, "parallel_attn": False})
    return (
        o
        | {"new_decoder_architecture": True, "num_kv_heads": n_kv}
        | d.some({"num_ln_in_parallel_attn": d.whole(1, 2)})
    )


def bloom(d: Draw) -> Options:
    o = d.sizes(even=False)
    return {
        "vocab_size": o["vocab_size"],
        "hidden_size": o["hidden_size"],
        "n_layer": o["num_hidden_layers"],
        "n_head": o["num_attention_heads"],
        "tie_word_embeddings": o["tie_word_embeddings"],
    } | d.some({"apply_residual_connection_post_layernorm": True, "layer_norm_epsilon": 1e-3})


def mpt(d: Draw) -> Options:
    o = d.sizes(even=False)
    return {
        "vocab_size": o["vocab_size"],
        "d_model": o["hidden_size"],
        "n_layers": o["num_hidden_layers"],
        "n_heads": o["num_attention_heads"],
        "max_seq_len": N_CTX,
        "tie_word_embeddings": o["tie_word_embeddings"],
        # Not what transformers ignores and we do not: attn_config.alibi_bias_max and expansion_ratio.
        "attn_config": d.some({"clip_qkv": d.number(0.3, 2), "softmax_scale": d.number(0.05, 0.5)}),
    } | d.some({"layer_norm_epsilon": 1e-3})


def opt(d: Draw) -> Options:
    o = d.sizes(even=False, grouped=False)
    o |= {"ffn_dim": o.pop("intermediate_size"), "activation_function": d.one(*GATES)}
    o["word_embed_proj_dim"] = d.one(o["hidden_size"], o["hidden_size"], d.whole(3, 60))
    return o | d.some(
        {"do_layer_norm_before": False, "enable_bias": False, "layer_norm_elementwise_affine": d.flag()}
    )


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


FAMILIES: dict[str, Callable[[Draw], Options]] = {
    "Llama": llama,
    "Mistral": mistral,
    "Mixtral": mixtral,
    "Qwen2": qwen2,
    "Qwen3": qwen3,
    "Qwen2Moe": qwen2_moe,
    "Qwen3Moe": qwen3_moe,
    "Phi3": phi3,
    "SmolLM3": smollm3,
    "SeedOss": seed_oss,
    "Gemma": gemma,
    "Gemma2": gemma2,
    "Gemma3Text": gemma3,
    "Olmo2": olmo2,
    "Olmo3": olmo3,
    "Olmoe": olmoe,
    "Granite": granite,
    "GraniteMoe": granitemoe,
    "GraniteMoeShared": granitemoeshared,
    "GptOss": gpt_oss,
    "GPT2": gpt2,
    "GPTJ": gptj,
    "GPTNeoX": gpt_neox,
    "Phi": phi,
    "StableLm": stablelm,
    "Starcoder2": starcoder2,
    "Falcon": falcon,
    "Bloom": bloom,
    "Mpt": mpt,
    "OPT": opt,
    "Cohere": cohere,
    "Cohere2": cohere2,
    "Glm": glm,
    "Glm4": glm,
    "Exaone4": exaone4,
    "Nemotron": nemotron,
    "Ernie4_5": ernie4_5,
    "HunYuanDenseV1": hunyuan,
    "Arcee": arcee,
    "InternLM3": internlm3,
    "Llama4Text": llama4,
    "MiniCPM3": minicpm3,
    "Glm4Moe": glm4_moe,
    "DeepseekV2": deepseek_v2,
    "DeepseekV3": deepseek_v3,
}


def configuration(family: str, seed: int) -> Options:
    """The options of transformers' configuration class of a family that a seed stands for."""
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | FAMILIES[family](
        Draw(f"{family} {seed}")
    )
