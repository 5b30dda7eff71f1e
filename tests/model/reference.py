"""The forward pass as a textbook writes it: NumPy, float64, no cache, no batch. The definition the engine must meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Config:
    n_heads: int
    n_kv_heads: int
    head_dim: int
    eps: float
    theta: float
    gemma: bool = False  # normed q and k, sandwich norms, GeGLU, halves rotate, scaled embedding
    window: int = 0  # of gemma's local layers
    local_theta: float = 10000.0
    rope_factor: float = 1.0


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope(x, theta, halves, factor=1.0, divisors=None):
    """x [T, heads, d], rotated by position."""
    t, _, d = x.shape
    frequencies = theta ** (-2.0 * np.arange(d // 2) / d) / factor / (1.0 if divisors is None else divisors)
    angles = np.arange(t)[:, None] * frequencies
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = (x[..., : d // 2], x[..., d // 2 :]) if halves else (x[..., 0::2], x[..., 1::2])
    rotated = np.stack([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return np.concatenate([rotated[..., 0], rotated[..., 1]], -1) if halves else rotated.reshape(x.shape)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v, window):
    """q [T, H, d], k and v [T, G, d] -> [T, H, d]"""
    t, heads, d = q.shape
    group = heads // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(d)
    behind = np.arange(t)[:, None] - np.arange(t)[None, :]
    hidden = (behind < 0) | ((behind >= window) if window else False)
    return np.einsum("hqk,khd->qhd", softmax(np.where(hidden, -np.inf, scores)), v)


def gelu_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def logits(weights: dict[str, np.ndarray], config: Config, ids: list[int]) -> np.ndarray:
    """Token ids [T] to logits [T, V]; weights by their GGUF names."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    c, t = config, len(ids)
    x = w["token_embd.weight"][ids]
    if c.gemma:
        x = x * np.sqrt(x.shape[1])
    divisors = w.get("rope_freqs.weight")
    layer = 0
    while f"blk.{layer}.attn_q.weight" in w:
        p = f"blk.{layer}."
        local = c.gemma and (layer + 1) % 6 != 0
        theta, window = (c.local_theta, c.window) if local else (c.theta, 0)
        factor = 1.0 if local else c.rope_factor
        h = rms_norm(x, w[p + "attn_norm.weight"], c.eps)
        q = (h @ w[p + "attn_q.weight"].T).reshape(t, c.n_heads, c.head_dim)
        k = (h @ w[p + "attn_k.weight"].T).reshape(t, c.n_kv_heads, c.head_dim)
        v = (h @ w[p + "attn_v.weight"].T).reshape(t, c.n_kv_heads, c.head_dim)
        if c.gemma:
            q = rms_norm(q, w[p + "attn_q_norm.weight"], c.eps)
            k = rms_norm(k, w[p + "attn_k_norm.weight"], c.eps)
        q, k = (rope(heads, theta, c.gemma, factor, divisors) for heads in (q, k))
        a = attention(q, k, v, window).reshape(t, -1) @ w[p + "attn_output.weight"].T
        x = x + (rms_norm(a, w[p + "post_attention_norm.weight"], c.eps) if c.gemma else a)
        h = rms_norm(x, w[p + "ffn_norm.weight"], c.eps)
        gate, up = h @ w[p + "ffn_gate.weight"].T, h @ w[p + "ffn_up.weight"].T
        f = (gelu_tanh(gate) if c.gemma else gate / (1.0 + np.exp(-gate))) * up
        f = f @ w[p + "ffn_down.weight"].T
        x = x + (rms_norm(f, w[p + "post_ffw_norm.weight"], c.eps) if c.gemma else f)
        layer += 1
    return rms_norm(x, w["output_norm.weight"], c.eps) @ w.get("output.weight", w["token_embd.weight"]).T
