"""The families as a textbook writes them: NumPy, float64, no cache, from transformers' configuration and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.families.family import Family
from tests.model.reference import gelu_tanh, softmax

Array = npt.NDArray[np.float64]


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def frequencies(rope: dict[str, Any], n_rot: int, n_ctx: int) -> tuple[Array, float]:
    """Radians per position of each pair, and what cos and sin are multiplied by."""
    c = np.arange(n_rot // 2)
    plain = rope["rope_theta"] ** (-2.0 * c / n_rot)
    kind, factor = rope["rope_type"], rope.get("factor", 1.0)
    if kind == "default":
        return plain, 1.0
    if kind == "linear":
        return plain / factor, 1.0
    trained = rope["original_max_position_embeddings"]
    if kind == "longrope":
        divisors = rope["long_factor"] if n_ctx > trained else rope["short_factor"]
        return plain / np.array(divisors), np.sqrt(1 + np.log(factor) / np.log(trained))
    if kind == "llama3":
        turns = trained * plain / (2 * np.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        kept = np.clip((turns - low) / (high - low), 0, 1)
        return plain / factor * (1 - kept) + plain * kept, 1.0
    assert kind == "yarn"
    low, high = (
        n_rot * np.log(trained / (turns * 2 * np.pi)) / (2 * np.log(rope["rope_theta"])) for turns in (32, 1)
    )
    if rope.get("truncate", True):
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0), min(high, n_rot - 1)
    kept = 1 - np.clip((c - low) / (high - low), 0, 1)
    return plain / factor * (1 - kept) + plain * kept, 0.1 * np.log(factor) + 1


def rotate(x: Array, rope: dict[str, Any], n_rot: int, n_ctx: int) -> Array:
    """x [T, heads, d]: the first half of the n_rot elements rotates with the second."""
    speed, magnitude = frequencies(rope, n_rot, n_ctx)
    angles = np.arange(len(x))[:, None, None] * speed
    cos, sin = np.cos(angles) * magnitude, np.sin(angles) * magnitude
    a, b, rest = np.split(x, [n_rot // 2, n_rot], axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)


def attention(
    q: Array,
    k: Array,
    v: Array,
    scale: float,
    cap: float | None,
    window: int | None,
    sinks: Array | None = None,
    chunk: int | None = None,
) -> Array:
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("qhd,khd->hqk", q, k) * scale
    if cap:
        scores = cap * np.tanh(scores / cap)
    row, key = np.arange(len(q))[:, None], np.arange(len(q))[None, :]
    hidden = (row < key) | ((row - key >= window) if window else False)
    if chunk:
        hidden |= key // chunk != row // chunk
    scores = np.where(hidden, -np.inf, scores)
    if sinks is not None:  # one more score a head, whose value is zero
        extra = np.broadcast_to(sinks[:, None, None], (*scores.shape[:2], 1))
        return np.einsum("hqk,khd->qhd", softmax(np.concatenate([scores, extra], axis=2))[..., :-1], v)
    return np.einsum("hqk,khd->qhd", softmax(scores), v)


def silu(x: Array) -> Array:
    return x / (1.0 + np.exp(-x))


def mixture(x: Array, scores: Array, gate_up: Array, down: Array, n_used: int, normalized: bool) -> Array:
    """x [T, D] through the n_used best of the experts, gate_up [E, 2F, D] and down [E, D, F], of each row."""
    probabilities, y = softmax(scores), np.zeros_like(x)
    for t, p in enumerate(probabilities):
        chosen = np.argsort(-p, kind="stable")[:n_used]
        for e in chosen:
            gate, up = np.split(gate_up[e] @ x[t], 2)
            y[t] += p[e] / (p[chosen].sum() if normalized else 1.0) * (down[e] @ (silu(gate) * up))
    return y


def clamped(gate: Array, up: Array) -> Array:
    gate, up = np.minimum(gate, 7.0), np.clip(up, -7.0, 7.0)
    return gate / (1.0 + np.exp(-1.702 * gate)) * (up + 1.0)


def mixture_with_biases(x: Array, w: dict[str, Array], p: str, n_used: int) -> Array:
    """gpt-oss: gates and ups take turns, and every matrix has a bias."""
    scores, y = x @ w[p + "router.weight"].T + w[p + "router.bias"], np.zeros_like(x)
    for t, s in enumerate(scores):
        chosen = np.argsort(-s, kind="stable")[:n_used]
        for e, share in zip(chosen, softmax(s[chosen]), strict=True):
            both = x[t] @ w[p + "experts.gate_up_proj"][e] + w[p + "experts.gate_up_proj_bias"][e]
            f = clamped(both[::2], both[1::2])
            y[t] += share * (f @ w[p + "experts.down_proj"][e] + w[p + "experts.down_proj_bias"][e])
    return y


def logits(family: Family, weights: dict[str, Any], ids: list[int]) -> Array:
    """Token ids [T] to logits [T, V]."""
    hf, d, t = family.hf, family.head_dim, len(ids)
    kind, eps = hf["model_type"], hf["rms_norm_eps"]
    gemma = kind.startswith("gemma")
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    heads, kv_heads = hf["num_attention_heads"], hf["num_key_value_heads"]
    layer_types = hf.get("layer_types") or [
        "sliding_attention" if kind == "gemma2" and i % 2 == 0 else "full_attention"
        for i in range(hf["num_hidden_layers"])
    ]
    silent = [not used for used in hf.get("no_rope_layers", [])]

    def linear(x: Array, name: str) -> Array:
        y = x @ w[name + ".weight"].T
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def norm(x: Array, name: str) -> Array:
        if name + ".weight" not in w:
            return x
        return rms_norm(x, w[name + ".weight"] + (1.0 if gemma else 0.0), eps)

    def feed_forward(x: Array, prefix: str) -> Array:
        gate, up = linear(x, prefix + "gate_proj"), linear(x, prefix + "up_proj")
        return linear((gelu_tanh(gate) if gemma else silu(gate)) * up, prefix + "down_proj")

    x = w["model.embed_tokens.weight"][ids] * hf.get("embedding_multiplier", 1.0)
    if gemma:
        x = x * np.sqrt(hf["hidden_size"])
    residual = hf.get("residual_multiplier", 1.0)
    scale = hf.get("attention_multiplier") or d**-0.5
    sandwich = any("post_feedforward" in name for name in w)
    for i in range(hf["num_hidden_layers"]):
        p = f"model.layers.{i}."
        rope = hf["rope_parameters"]
        rope = rope.get(layer_types[i], rope)
        window = hf.get("sliding_window") if kind == "phi3" or layer_types[i] == "sliding_attention" else None

        h = norm(x, p + "input_layernorm")
        if kind == "phi3":
            qkv = linear(h, p + "self_attn.qkv_proj")
            q, k, v = np.split(qkv, [heads * d, (heads + kv_heads) * d], axis=-1)
        else:
            q, k, v = (linear(h, p + f"self_attn.{name}_proj") for name in "qkv")
        if kind in ("olmo2", "olmo3", "olmoe"):
            q, k = norm(q, p + "self_attn.q_norm"), norm(k, p + "self_attn.k_norm")
        limit = hf.get("clip_qkv") or np.inf
        q, k, v = (np.clip(z, -limit, limit).reshape(t, -1, d) for z in (q, k, v))
        if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
            q, k = norm(q, p + "self_attn.q_norm"), norm(k, p + "self_attn.k_norm")
        if not (silent and silent[i]):
            n_rot = int(d * rope.get("partial_rotary_factor", 1.0))
            q, k = (rotate(z, rope, n_rot, hf["max_position_embeddings"]) for z in (q, k))
        a = attention(q, k, v, scale, hf.get("attn_logit_softcapping"), window, w.get(p + "self_attn.sinks"))
        a = a.reshape(t, -1)
        a = linear(a, p + "self_attn.o_proj")
        x = x + (norm(a, p + "post_attention_layernorm") if sandwich else a) * residual

        before = "pre_feedforward_layernorm" if sandwich else "post_attention_layernorm"
        h = norm(x, p + before)
        if kind == "phi3":
            gate, up = np.split(linear(h, p + "mlp.gate_up_proj"), 2, axis=-1)
            f = linear(silu(gate) * up, p + "mlp.down_proj")
        elif kind == "gpt_oss":
            f = mixture_with_biases(h, w, p + "mlp.", hf["num_experts_per_tok"])
        elif kind in ("granitemoe", "granitemoeshared"):
            q = p + "block_sparse_moe."
            both, down = w[q + "experts.gate_up_proj"], w[q + "experts.down_proj"]
            f = mixture(h, linear(h, q + "router"), both, down, hf["num_experts_per_tok"], True)
            if kind == "granitemoeshared":
                gate, up = np.split(linear(h, p + "shared_mlp.input_linear"), 2, axis=-1)
                f = f + linear(silu(gate) * up, p + "shared_mlp.output_linear")
        elif p + "mlp.gate.weight" in w:
            experts = (w[p + "mlp.experts.gate_up_proj"], w[p + "mlp.experts.down_proj"])
            normalized = hf.get("norm_topk_prob", True)
            f = mixture(h, linear(h, p + "mlp.gate"), *experts, hf["num_experts_per_tok"], normalized)
            if p + "mlp.shared_expert_gate.weight" in w:
                score = linear(h, p + "mlp.shared_expert_gate")
                f = f + feed_forward(h, p + "mlp.shared_expert.") / (1.0 + np.exp(-score))
        else:
            f = feed_forward(h, p + "mlp.")
        x = x + (norm(f, p + "post_feedforward_layernorm") if sandwich else f) * residual
    y = norm(x, "model.norm") @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
    y = y / hf.get("logits_scaling", 1.0)
    cap = hf.get("final_logit_softcapping")
    return cap * np.tanh(y / cap) if cap else y
