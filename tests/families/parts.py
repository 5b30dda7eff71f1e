"""A decoder by its parts, float64 as a textbook writes it: what families are put together from in decoders.py.

`logits` runs it in NumPy without a cache; `gguf` names its parts as llama.cpp's converters do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tests import reference_ops
from tests.families.reference import attention, silu
from tests.model.reference import gelu_tanh, softmax

Array = npt.NDArray[Any]


def relu_squared(x: Array) -> Array:
    return np.maximum(x, 0.0) ** 2


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": silu,
    "gelu": reference_ops.gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": reference_ops.relu,
    "relu2": relu_squared,
}


@dataclass
class Part:
    """A matrix (out, in) or the weight of a norm (n,), and a bias."""

    weight: Array
    bias: Array | None = None

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight.astype(np.float64).T
        return y if self.bias is None else y + self.bias


@dataclass
class Mixture:
    """Experts beside the layer's own feed-forward, which every token takes: matrices (experts, out, in)."""

    router: Part
    gate: Array
    up: Array
    down: Array
    n_used: int
    weighs_input: bool = False  # what experts read is weighed, not what they make
    choice_bias: Array | float = 0.0  # is added for the choice alone
    normalized: bool = False
    scale: float = 1.0

    def __call__(self, x: Array, f: Callable[[Array], Array]) -> Array:
        """The best by their sigmoids, which are the weights."""
        y = np.zeros_like(x)
        for t, scores in enumerate(1.0 / (1.0 + np.exp(-self.router(x)))):
            chosen = np.argsort(-(scores + self.choice_bias), kind="stable")[: self.n_used]
            for e in chosen:
                weight = scores[e] / (scores[chosen].sum() if self.normalized else 1.0) * self.scale
                read = x[t] * (weight if self.weighs_input else 1.0)
                made = self.down[e] @ (f(self.gate[e] @ read) * (self.up[e] @ read))
                y[t] += made * (1.0 if self.weighs_input else weight)
        return y


@dataclass
class Layer:
    q: Part
    k: Part
    v: Part
    o: Part
    up: Part
    down: Part
    gate: Part | None = None
    attn_norm: Part | None = None
    ffn_norm: Part | None = None
    attn_post_norm: Part | None = None
    ffn_post_norm: Part | None = None
    q_norm: Part | None = None
    k_norm: Part | None = None
    rotates: bool = True
    window: int | None = None
    chunk: int | None = None
    attention_factor: float = 1.0
    temperature: tuple[int, float] | None = None  # queries grow with the logarithm of the first
    mixture: Mixture | None = None


@dataclass
class Decoder:
    heads: int
    kv_heads: int
    head_dim: int
    embedding: Array
    final_norm: Part | None
    layers: list[Layer]
    head: Part | None = None  # None: the embedding
    widen: Part | None = None  # of embeddings narrower than the stream...
    narrow: Part | None = None  # ...and back
    positions: Array | None = None
    embedding_norm: Part | None = None
    layer_norm: bool = True
    eps: float = 1e-5
    activation: str = "silu"
    parallel: bool = False
    stream_norms: str = ""  # attn_norm and ffn_norm are of the stream, "before" or "behind" what is added
    speeds: Array | None = None  # of the rotation, where they are no geometric series
    n_rot: int | None = None
    adjacent: bool = False
    theta: float = 10000.0
    norm_rotated: bool = False  # heads are rotated, then normed
    alibi: float = 0.0
    alibi_bf16: bool = False  # of keys' positions instead of distances, everything rounded
    clip: float = np.inf
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0


PLAIN = Part(np.ones(1))  # a norm without weights, which stands in no file


def slopes(n_heads: int, bias: float) -> Array:
    """A geometric series, and between its members those of one twice as dense. arXiv:2108.12409"""
    power = 2 ** int(np.log2(n_heads))
    exponents = [bias * (i + 1) / power for i in range(power)]
    exponents += [bias * (2 * i + 1) / (2 * power) for i in range(n_heads - power)]
    return 2.0 ** -np.array(exponents)


def to_bf16(x: Array) -> Array:
    bits = x.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype("<u4").view("<f4").astype(np.float64)


def logits(m: Decoder, ids: list[int]) -> Array:
    """Token ids [T] to logits [T, V]."""
    t = len(ids)
    f = ACTIVATIONS[m.activation]

    def norm(x: Array, part: Part | None) -> Array:
        if part is None:
            return x
        d = x - x.mean(axis=-1, keepdims=True) if m.layer_norm else x
        y = d / np.sqrt(np.mean(d * d, axis=-1, keepdims=True) + m.eps) * part.weight
        return y if part.bias is None else y + part.bias

    def turned(x: Array, layer: Layer) -> Array:
        n_rot = m.head_dim if m.n_rot is None else m.n_rot
        if not layer.rotates:
            return x
        if m.speeds is not None:
            angles = np.arange(t)[:, None, None] * m.speeds
            a, b = np.split(x, 2, axis=-1)
            return np.concatenate(
                [a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], axis=-1
            )
        return reference_ops.rope(x, np.arange(t), m.theta, n_rot, "adjacent" if m.adjacent else "halves")

    def prepared(x: Array, weight: Part | None, layer: Layer) -> Array:
        if m.norm_rotated:
            return norm(turned(x, layer), weight)
        return turned(norm(x, weight), layer)

    def attend(h: Array, layer: Layer) -> Array:
        q, k, v = (
            np.clip(part(h), -m.clip, m.clip).reshape(t, -1, m.head_dim)
            for part in (layer.q, layer.k, layer.v)
        )
        q, k = prepared(q, layer.q_norm, layer), prepared(k, layer.k_norm, layer)
        if layer.temperature is not None:
            length, growth = layer.temperature
            q = q * (1.0 + growth * np.log(1.0 + (np.arange(t) + 1) // length))[:, None, None]
        scale = m.head_dim**-0.5 * layer.attention_factor
        if not m.alibi:
            return layer.o(attention(q, k, v, scale, None, layer.window, chunk=layer.chunk).reshape(t, -1))
        group = m.heads // m.kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        behind = np.arange(t)[None, :] - np.arange(t)[:, None]
        scores = np.einsum("qhd,khd->hqk", q, k) * scale
        if m.alibi_bf16:
            of_keys = to_bf16(np.outer(to_bf16(slopes(m.heads, m.alibi)), to_bf16(np.arange(t))))
            scores += of_keys[:, None, :] * scale
        else:
            scores += slopes(m.heads, m.alibi)[:, None, None] * behind
        scores = np.where(behind > 0, -np.inf, scores)
        return layer.o(np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(t, -1))

    def feed_forward(h: Array, layer: Layer) -> Array:
        y = layer.down(f(layer.up(h)) if layer.gate is None else f(layer.gate(h)) * layer.up(h))
        return y if layer.mixture is None else y + layer.mixture(h, f)

    x = m.embedding.astype(np.float64)[ids] * m.embedding_scale
    if m.widen is not None:
        x = m.widen(x)
    if m.positions is not None:
        x = x + m.positions[:t]
    x = norm(x, m.embedding_norm)
    for layer in m.layers:
        if m.stream_norms == "behind":
            x = norm(x + attend(x, layer), layer.attn_norm)
            x = norm(x + feed_forward(x, layer), layer.ffn_norm)
            continue
        if m.stream_norms == "before":
            x = norm(x, layer.attn_norm)
            x = norm(x + attend(x, layer), layer.ffn_norm)
            x = x + feed_forward(x, layer)
            continue
        h = norm(x, layer.attn_norm)
        a = norm(attend(h, layer), layer.attn_post_norm) * m.residual_scale
        if not m.parallel:
            h = norm(x + a, layer.ffn_norm)
        elif layer.ffn_norm is not None:
            h = norm(x, layer.ffn_norm)
        x = x + a + norm(feed_forward(h, layer), layer.ffn_post_norm) * m.residual_scale
    x = norm(x, m.final_norm)
    x = x if m.narrow is None else m.narrow(x)
    return (m.head or Part(m.embedding))(x) * m.logit_scale


NAMES = {
    "attn_norm": "attn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "attn_post_norm": "post_attention_norm",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
    "ffn_post_norm": "post_ffw_norm",
}
SHARED = ("ffn_gate", "ffn_up", "ffn_down")  # of a layer with experts


def _joined(*parts: Part) -> Part:
    biases = [part.bias for part in parts]
    bias = None if biases[0] is None else np.concatenate([b for b in biases if b is not None])
    return Part(np.concatenate([part.weight for part in parts]), bias)


def _paired(part: Part, n_heads: int) -> Part:
    """Rows of halves that rotate together become neighbours."""

    def order(x: Array) -> Array:
        return x.reshape(n_heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)

    return Part(order(part.weight), None if part.bias is None else order(part.bias))


@dataclass(frozen=True)
class Format:
    """How a family's files differ: fused matrices, names, rows of q and k as pairs."""

    fused: tuple[str, ...] = ()  # "qkv", "gate_up"
    names: Mapping[str, str] = field(default_factory=dict)
    paired: bool = False


def gguf(m: Decoder, how: Format) -> dict[str, Array]:
    """The tensors of a GGUF file by name, rows first."""
    tensors: dict[str, Array] = {}
    found: dict[str, Part | None] = {
        "token_embd": Part(m.embedding),
        "token_embd_norm": m.embedding_norm,
        "output_norm": m.final_norm,
        "output": m.head,
        "position_embd": None if m.positions is None else Part(m.positions),
    }
    for i, layer in enumerate(m.layers):
        parts: dict[str, Part | None] = {role: getattr(layer, role) for role in NAMES}
        if how.paired:
            parts |= {"q": _paired(layer.q, m.heads), "k": _paired(layer.k, m.kv_heads)}
        blocks = {
            NAMES[role] if role not in how.names else how.names[role]: part for role, part in parts.items()
        }
        if "qkv" in how.fused:
            blocks["attn_qkv"] = _joined(layer.q, layer.k, layer.v)
            blocks |= dict.fromkeys(("attn_q", "attn_k", "attn_v"))
        if "gate_up" in how.fused and layer.gate is not None:
            blocks |= {"ffn_up": _joined(layer.gate, layer.up), "ffn_gate": None}
        if (mixture := layer.mixture) is not None:
            blocks = {name + "_shexp" if name in SHARED else name: part for name, part in blocks.items()}
            blocks |= {"ffn_gate_inp": mixture.router, "ffn_gate_exps": Part(mixture.gate)}
            blocks |= {"ffn_up_exps": Part(mixture.up), "ffn_down_exps": Part(mixture.down)}
            if isinstance(mixture.choice_bias, np.ndarray):
                tensors[f"blk.{i}.exp_probs_b.bias"] = mixture.choice_bias
        found |= {f"blk.{i}.{name}": part for name, part in blocks.items()}
    for name, part in found.items():
        if part is not None and part is not PLAIN:
            tensors[name + ".weight"] = part.weight
            if part.bias is not None:
                tensors[name + ".bias"] = part.bias
    return tensors
