"""A tiny random model of every family: its configuration and weights as transformers has them, and as a GGUF file.

Weights depend on their names alone (RandomState, whose stream is promised never to change), so that the reference
can be computed elsewhere, by make_reference.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.gguf_files import encode
from tests.gguf_pieces import Tensor, write_gguf

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
GEMMA = {
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 24,
    "tie_word_embeddings": True,
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
}


@dataclass(frozen=True)
class Family:
    """`config` is for transformers (over SIZES), `keys` are what a GGUF file of it has beyond the common ones."""

    architecture: str
    config: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    permuted: bool = False  # q and k rows are permuted so that neighbours rotate together
    norm_offset: float = 0.0  # what the file adds to norm weights
    biases: tuple[str, ...] = ()
    rope_factors: Mapping[str, list[float]] = field(default_factory=dict)  # tensors of frequency divisors

    @property
    def hf(self) -> dict[str, Any]:
        return SIZES | dict(self.config)

    @property
    def head_dim(self) -> int:
        hf = self.hf
        return hf.get("head_dim") or hf["hidden_size"] // hf["num_attention_heads"]


DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
YARN_KEYS = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 128,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LONG = [1.0, 1.1, 1.3, 1.7, 2.0, 3.0]  # of 12 rotating elements
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "long_factor": LONG,
    "short_factor": [1.0] * 5 + [1.25],
    "partial_rotary_factor": 0.75,
}
QKV = ("q", "k", "v")


def llama3_factors() -> list[float]:
    """What a converter puts into rope_freqs.weight for LLAMA3."""
    r, d = LLAMA3, 16
    wavelengths = 2 * np.pi * r["rope_theta"] ** (2 * np.arange(d // 2) / d)
    n = r["original_max_position_embeddings"]
    smooth = (n / wavelengths - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
    smooth = np.clip(smooth, 0, 1)
    return list(1 / ((1 - smooth) / r["factor"] + smooth))


FAMILIES: dict[str, Family] = {
    "llama": Family("llama", {"model_type": "llama"}, permuted=True),
    "llama-biases": Family(
        "llama",
        {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
        permuted=True,
        biases=(*QKV, "o", "gate", "up", "down"),
    ),
    "llama-3": Family(
        "llama",
        {"model_type": "llama", "rope_parameters": LLAMA3},
        permuted=True,
        rope_factors={"rope_freqs.weight": llama3_factors()},
    ),
    "llama-yarn": Family(
        "llama",
        {"model_type": "llama", "rope_parameters": YARN},
        YARN_KEYS,
        permuted=True,
    ),
    "mistral": Family(
        "llama",
        {"model_type": "mistral", "head_dim": 24, "num_attention_heads": 4, "sliding_window": None},
        permuted=True,
    ),
    "qwen2": Family(
        "qwen2", {"model_type": "qwen2", "tie_word_embeddings": True, "use_sliding_window": False}, biases=QKV
    ),
    "qwen3": Family("qwen3", {"model_type": "qwen3", "head_dim": 32, "use_sliding_window": False}),
    "phi3": Family(
        "phi3",
        {"model_type": "phi3", "sliding_window": 40, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
        {"attention.sliding_window": 40},
    ),
    "phi3-long": Family(
        "phi3",
        {
            "model_type": "phi3",
            "rope_parameters": LONGROPE,
            "original_max_position_embeddings": 128,
            "sliding_window": None,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
        },
        {
            "rope.scaling.original_context_length": 128,
            "rope.scaling.attn_factor": float(np.sqrt(1 + np.log(4.0) / np.log(128.0))),
            "rope.dimension_count": 12,
        },
        rope_factors={
            "rope_factors_long.weight": LONG,
            "rope_factors_short.weight": LONGROPE["short_factor"],
        },
    ),
    "smollm3": Family(
        "smollm3",
        {"model_type": "smollm3", "no_rope_layers": [1, 1, 1, 0], "use_sliding_window": False},
        permuted=True,
    ),
    "gemma": Family("gemma", {"model_type": "gemma", **GEMMA}, norm_offset=1.0),
    "gemma2": Family(
        "gemma2",
        {
            "model_type": "gemma2",
            **GEMMA,
            "sliding_window": 40,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
            "query_pre_attn_scalar": 24,
        },
        {
            "attention.sliding_window": 40,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        norm_offset=1.0,
    ),
    "gemma3": Family(
        "gemma3",
        {
            "model_type": "gemma3_text",
            **GEMMA,
            "sliding_window": 40,
            "query_pre_attn_scalar": 24,
            "layer_types": [*["sliding_attention"] * 2, "full_attention", "sliding_attention"],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            },
        },
        {
            "attention.sliding_window": 40,
            "attention.sliding_window_pattern": 3,
            "rope.freq_base": 1e6,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
        norm_offset=1.0,
    ),
    "mixtral": Family(
        "llama",
        {"model_type": "mixtral", "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": None},
        {"expert_count": 5, "expert_used_count": 2},
        permuted=True,
    ),
    "qwen2moe": Family(
        "qwen2moe",
        {
            "model_type": "qwen2_moe",
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 96,
            "norm_topk_prob": False,
            "use_sliding_window": False,
        },
        {
            "expert_count": 6,
            "expert_used_count": 3,
            "expert_feed_forward_length": 64,
            "expert_shared_feed_forward_length": 96,
        },
        biases=QKV,
    ),
    "qwen3moe": Family(
        "qwen3moe",
        {
            "model_type": "qwen3_moe",
            "head_dim": 32,
            "num_experts": 7,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 64,
            "norm_topk_prob": True,
            "use_sliding_window": False,
        },
        {"expert_count": 7, "expert_used_count": 2, "expert_feed_forward_length": 64},
    ),
    "olmoe": Family(
        "olmoe",
        {"model_type": "olmoe", "num_experts": 6, "num_experts_per_tok": 2, "norm_topk_prob": False},
        {"expert_count": 6, "expert_used_count": 2},
    ),
    "olmo2": Family("olmo2", {"model_type": "olmo2"}),
    "olmo3": Family(
        "olmo2",
        {
            "model_type": "olmo3",
            "sliding_window": 40,
            "layer_types": [*["sliding_attention"] * 3, "full_attention"],
            "rope_parameters": {"sliding_attention": DEFAULT, "full_attention": YARN},
        },
        {"attention.sliding_window": 40, **YARN_KEYS},
    ),
    "granite": Family(
        "granite",
        {
            "model_type": "granite",
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.03125,
            "logits_scaling": 4.0,
        },
        {"embedding_scale": 6.0, "residual_scale": 0.22, "attention.scale": 0.03125, "logit_scale": 4.0},
        permuted=True,
    ),
    "granitemoe": Family(
        "granitemoe",
        {
            "model_type": "granitemoe",
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.03125,
            "logits_scaling": 4.0,
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "embedding_scale": 6.0,
            "residual_scale": 0.22,
            "attention.scale": 0.03125,
            "logit_scale": 4.0,
        },
        permuted=True,
    ),
    "granitemoe-shared": Family(
        "granitemoe",
        {
            "model_type": "granitemoeshared",
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 64,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.25,
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_shared_feed_forward_length": 64,
            "residual_scale": 0.5,
            "attention.scale": 0.25,
            "logit_scale": 1.0,
        },
        permuted=True,
    ),
    "gpt-oss": Family(
        "gpt-oss",
        {
            "model_type": "gpt_oss",
            "head_dim": 32,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 40,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "rope_parameters": YARN | {"truncate": False},
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_feed_forward_length": 160,
            "attention.sliding_window": 40,
            **YARN_KEYS,
        },
        biases=(*QKV, "o"),
    ),
}


# What folders say and files do not.
IN_FOLDERS: dict[str, Family] = {
    "qwen2moe-sparse": Family(
        "qwen2moe",
        dict(FAMILIES["qwen2moe"].config) | {"decoder_sparse_step": 2, "mlp_only_layers": [3]},
        biases=QKV,
    ),
    "qwen3moe-sparse": Family(
        "qwen3moe", dict(FAMILIES["qwen3moe"].config) | {"mlp_only_layers": [0, 2], "norm_topk_prob": False}
    ),
    "olmoe-clipped": Family("olmoe", dict(FAMILIES["olmoe"].config) | {"clip_qkv": 0.7}),
}


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


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.router": "ffn_gate_inp",
    "block_sparse_moe.router": "ffn_gate_inp",
    "self_attn.sinks": "attn_sinks",
    "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps",
    "mlp.experts.down_proj": "ffn_down_exps",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "shared_mlp.gate_proj": "ffn_gate_shexp",
    "shared_mlp.up_proj": "ffn_up_shexp",
    "shared_mlp.output_linear": "ffn_down_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "input_layernorm": "attn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gguf_name(name: str, sandwich: bool) -> str:
    """The name of a weight in a GGUF file; with `sandwich`, post_attention_layernorm is what it says."""
    tops = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, _, end = name.rpartition(".")
    if stem in tops:
        return f"{tops[stem]}.{end}"
    _, _, layer, part = stem.split(".", 3)
    part = part.replace("block_sparse_moe.experts", "mlp.experts")
    if part == "post_attention_layernorm":
        return f"blk.{layer}.{'post_attention_norm' if sandwich else 'ffn_norm'}.{end}"
    return f"blk.{layer}.{GGUF_NAMES[part]}.{end}"


def named_as_it_says(family: Family) -> bool:
    """Whether post_attention_layernorm is a post_attention_norm in the file, and no ffn_norm."""
    return family.hf["model_type"] == "gpt_oss" or any(
        "post_feedforward" in name for name, _ in shapes(family)
    )


def split_experts(all_weights: Weights) -> Weights:
    """Gates and ups of experts as the tensors of their own that files have, all names with an end."""
    result = {}
    interleaved = any(
        name.endswith("sinks") for name in all_weights
    )  # gpt-oss, whose experts stand column by column
    for name, value in all_weights.items():
        if name.endswith("sinks"):
            result[name + ".weight"] = value
        elif name.endswith("proj_bias"):
            stem = name.removesuffix("_bias")
            if stem.endswith("gate_up_proj"):
                result[stem.replace("gate_up_proj", "gate_proj.bias")] = value[:, ::2]
                result[stem.replace("gate_up_proj", "up_proj.bias")] = value[:, 1::2]
            else:
                result[stem + ".bias"] = value
        elif name.endswith("experts.gate_up_proj"):
            value = value.swapaxes(1, 2) if interleaved else value
            gate, up = (value[:, ::2], value[:, 1::2]) if interleaved else np.split(value, 2, axis=1)
            result[name.replace("gate_up_proj", "gate_proj.weight")] = gate
            result[name.replace("gate_up_proj", "up_proj.weight")] = up
        elif name.endswith("shared_mlp.input_linear.weight"):
            gate, up = np.split(value, 2)
            result[name.replace("input_linear", "gate_proj")] = gate
            result[name.replace("input_linear", "up_proj")] = up
        elif name.endswith("experts.down_proj"):
            result[name + ".weight"] = value.swapaxes(1, 2) if interleaved else value
        else:
            result[name] = value.reshape(-1) if "shared_expert_gate" in name else value
    return result


def gguf_tensors(family: Family) -> dict[str, npt.NDArray[np.float32]]:
    """The weights as llama.cpp's converter writes them, rows first."""
    hf, result = family.hf, {}
    all_weights = split_experts(weights(family))
    sandwich = named_as_it_says(family)
    for name, value in all_weights.items():
        if family.permuted and ("q_proj" in name or "k_proj" in name):
            n = hf["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            halves = value.reshape(n, 2, len(value) // n // 2, *value.shape[1:])
            value = halves.swapaxes(1, 2).reshape(value.shape)
        if family.norm_offset and "norm" in name:
            value = value + np.float32(family.norm_offset)
        result[gguf_name(name, sandwich)] = value
    for name, factors in family.rope_factors.items():
        result[name] = np.array(factors, np.float32)
    return result


def write(path: Path, family: Family, kind: str = "F32", others: Mapping[str, Tensor] | None = None) -> Path:
    """The family's model as a GGUF file whose matrices are of that type, but for `others` with types of their own."""
    hf, a = family.hf, family.architecture
    keys: dict[str, Any] = {
        "general.architecture": a,
        f"{a}.block_count": hf["num_hidden_layers"],
        f"{a}.context_length": hf["max_position_embeddings"],
        f"{a}.embedding_length": hf["hidden_size"],
        f"{a}.feed_forward_length": hf["intermediate_size"],
        f"{a}.attention.head_count": hf["num_attention_heads"],
        f"{a}.attention.head_count_kv": hf["num_key_value_heads"],
        f"{a}.attention.layer_norm_rms_epsilon": hf["rms_norm_eps"],
        f"{a}.rope.freq_base": 10000.0,
        f"{a}.rope.dimension_count": family.head_dim,
    }
    if "head_dim" in hf:
        keys |= {f"{a}.attention.key_length": hf["head_dim"], f"{a}.attention.value_length": hf["head_dim"]}
    keys |= {f"{a}.{name}": value for name, value in family.keys.items()}
    tensors: dict[str, Tensor] = {}
    for name, value in gguf_tensors(family).items():
        shape = value.shape[::-1]
        matrix = value.ndim > 1 and not name.endswith("bias")
        tensors[name] = (
            encode(value, kind) if matrix else value.tobytes(),
            kind if matrix else "F32",
            shape,
        )
    return write_gguf(path, keys, tensors | dict(others or {}))


def ids(n: int = 300) -> list[int]:
    """The same token ids everywhere."""
    return [int(i) for i in np.random.RandomState(4).randint(0, VOCAB, n)]
