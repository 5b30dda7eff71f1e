"""A tiny random model of a family: its configuration and weights as transformers has them.

Weights depend on their names alone (RandomState, whose stream is promised never to change), so that the reference
can be computed elsewhere, by make_reference.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]
N_CTX, VOCAB, N_LAYERS = 512, 72, 4
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": N_CTX,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
QKV = ("q", "k", "v")
# Of families whose norm by that name does not stand before the feed-forward, or whose converter says so.
BEHIND = {"post_attention_layernorm": "post_attention_norm"}


@dataclass(frozen=True)
class Family:
    """`config` is for transformers (over SIZES), `keys` are what a GGUF file of it has beyond the common ones."""

    architecture: str
    config: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    permuted: bool = False  # q and k rows are permuted so that neighbours rotate together
    norm_offset: float = 0.0  # what the file adds to norm weights
    biases: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # in a file, where they are not the usual ones
    rope_factors: Mapping[str, list[float]] = field(default_factory=dict)  # tensors of frequency divisors

    @property
    def hf(self) -> dict[str, Any]:
        return SIZES | dict(self.config)

    @property
    def head_dim(self) -> int:
        hf = self.hf
        return hf.get("head_dim") or hf["hidden_size"] // hf["num_attention_heads"]


def has_experts(hf: Mapping[str, Any], layer: int) -> bool:
    sparse = (layer + 1) % hf.get("decoder_sparse_step", 1) == 0
    return sparse and layer not in hf.get("mlp_only_layers", [])


def feed_forward(prefix: str, d: int, ffn: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield prefix + "gate_proj.weight", (ffn, d)
    yield prefix + "up_proj.weight", (ffn, d)
    yield prefix + "down_proj.weight", (d, ffn)


def shapes(family: Family) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the weights as transformers has them."""
    hf = family.hf
    d, ffn, vocab = hf["hidden_size"], hf["intermediate_size"], hf["vocab_size"]
    q, kv = (hf[f"num_{kind}_heads"] * family.head_dim for kind in ("attention", "key_value"))
    kind = hf["model_type"]
    yield "model.embed_tokens.weight", (vocab, d)
    yield "model.norm.weight", (d,)
    if not hf["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, d)
    for i in range(hf["num_hidden_layers"]):
        p = f"model.layers.{i}."
        if kind in ("olmo2", "olmo3"):
            norms = ["post_attention_layernorm", "post_feedforward_layernorm"]
        elif kind in ("gemma2", "gemma3_text"):
            norms = ["input_layernorm", "post_attention_layernorm"]
            norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        else:
            norms = ["input_layernorm", "post_attention_layernorm"]
        yield from ((p + name + ".weight", (d,)) for name in norms)
        if kind == "phi3":
            yield p + "self_attn.qkv_proj.weight", (q + 2 * kv, d)
        else:
            for name, n in (("q", q), ("k", kv), ("v", kv)):
                yield p + f"self_attn.{name}_proj.weight", (n, d)
        yield p + "self_attn.o_proj.weight", (d, q)
        n = hf.get("num_experts", hf.get("num_local_experts"))
        if kind == "gpt_oss":
            yield p + "self_attn.sinks", (hf["num_attention_heads"],)
            yield p + "mlp.router.weight", (n, d)
            yield p + "mlp.router.bias", (n,)
            yield p + "mlp.experts.gate_up_proj", (n, d, 2 * ffn)
            yield p + "mlp.experts.gate_up_proj_bias", (n, 2 * ffn)
            yield p + "mlp.experts.down_proj", (n, ffn, d)
            yield p + "mlp.experts.down_proj_bias", (n, d)
        elif kind in ("granitemoe", "granitemoeshared"):
            yield p + "block_sparse_moe.router.weight", (n, d)
            yield p + "block_sparse_moe.experts.gate_up_proj", (n, 2 * ffn, d)
            yield p + "block_sparse_moe.experts.down_proj", (n, d, ffn)
        elif n and has_experts(hf, i):
            expert = hf.get("moe_intermediate_size", ffn)
            yield p + "mlp.gate.weight", (n, d)
            yield p + "mlp.experts.gate_up_proj", (n, 2 * expert, d)
            yield p + "mlp.experts.down_proj", (n, d, expert)
        if shared := hf.get("shared_intermediate_size"):
            yield p + "shared_mlp.input_linear.weight", (2 * shared, d)
            yield p + "shared_mlp.output_linear.weight", (d, shared)
        if (shared := hf.get("shared_expert_intermediate_size")) and has_experts(hf, i):
            yield p + "mlp.shared_expert_gate.weight", (1, d)
            yield from feed_forward(p + "mlp.shared_expert.", d, shared)
        if kind == "phi3":
            yield p + "mlp.gate_up_proj.weight", (2 * ffn, d)
            yield p + "mlp.down_proj.weight", (d, ffn)
        elif not n or not has_experts(hf, i):
            yield from feed_forward(p + "mlp.", d, ffn)
        if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
            yield p + "self_attn.q_norm.weight", (family.head_dim,)
            yield p + "self_attn.k_norm.weight", (family.head_dim,)
        elif kind in ("olmo2", "olmo3", "olmoe"):
            yield p + "self_attn.q_norm.weight", (q,)
            yield p + "self_attn.k_norm.weight", (kv,)
        lengths = {"q": q, "k": kv, "v": kv, "o": d, "gate": ffn, "up": ffn, "down": d}
        for name in family.biases:
            room = "mlp" if name in ("gate", "up", "down") else "self_attn"
            yield p + f"{room}.{name}_proj.bias", (lengths[name],)


def weights(family: Family) -> Weights:
    """Random weights by transformers' names."""
    result = {}
    for name, shape in shapes(family):
        random = np.random.RandomState(zlib.crc32(name.encode()))
        values = random.standard_normal(shape)
        if name.endswith("bias") or "sinks" in name:
            values *= 0.3
        elif len(shape) == 1:
            values = values * 0.2 + 1.0 - family.norm_offset
        elif "embed" in name:
            values *= 0.7
        else:
            columns = shape[-2] if family.hf["model_type"] == "gpt_oss" and len(shape) == 3 else shape[-1]
            values *= 1.5 * columns**-0.5  # scores of attention that differ
        result[name] = values.astype(np.float32)
    return result


def ids(n: int = 300) -> list[int]:
    """The same token ids everywhere."""
    return [int(i) for i in np.random.RandomState(4).randint(0, VOCAB, n)]
