"""Families whose attention is to latents: the models as a textbook writes them, float64, keys and values in full.

Nothing of how nextoken computes them is here: no matrix is moved from keys to queries. A GGUF file has what makes keys
and values in one tensor, as older files, or in two.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.families.family import N_CTX, VOCAB, Weights
from tests.families.folders import on_disk_experts
from tests.families.reference import attention, frequencies, rms_norm, silu
from tests.gguf_files import encode
from tests.gguf_pieces import Tensor, write_gguf
from tests.hf_folders import write_weights
from tests.model.reference import softmax

Array = npt.NDArray[Any]
LATENT_EPS = 1e-6
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "long_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0, 3.5, 4.0],
    "short_factor": [1.0] * 7 + [1.25],
}
COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": N_CTX,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "kv_lora_rank": 64,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
EXPERTS = {
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}


def random(name: str, *shape: int) -> npt.NDArray[np.float32]:
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("bias"):
        values *= 0.3
    elif len(shape) == 1:
        values = values * 0.2 + 1.0
    elif "embed" in name:
        values *= 0.7
    else:
        values *= 1.5 * shape[-1] ** -0.5
    return values.astype(np.float32)


@dataclass(frozen=True)
class Case:
    """`hf` is config.json over COMMON, `keys` what a GGUF file has beyond the sizes."""

    architecture: str
    hf: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    fused: bool = False
    tensors: Mapping[str, list[float]] = field(default_factory=dict)  # of a file, beside the weights
    in_file: bool = True  # whether a GGUF file can say what config.json does
    in_transformers: bool = True

    def config(self) -> dict[str, Any]:
        return COMMON | dict(self.hf)

    def is_mixture(self, layer: int) -> bool:
        return layer >= self.config().get("first_k_dense_replace", COMMON["num_hidden_layers"])

    def weights(self) -> Weights:
        """By transformers' names."""
        hf, w = self.config(), {}

        def add(name: str, *shape: int) -> None:
            w[name] = random(name, *shape)

        d, n, rank = hf["hidden_size"], hf["num_attention_heads"], hf["kv_lora_rank"]
        nope, rope, value = (hf[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        bias = hf.get("attention_bias", False)
        add("model.embed_tokens.weight", hf["vocab_size"], d)
        add("model.norm.weight", d)
        if not hf["tie_word_embeddings"]:
            add("lm_head.weight", hf["vocab_size"], d)

        def feed_forward(p: str, ffn: int) -> None:
            add(p + "gate_proj.weight", ffn, d)
            add(p + "up_proj.weight", ffn, d)
            add(p + "down_proj.weight", d, ffn)

        for i in range(hf["num_hidden_layers"]):
            p = f"model.layers.{i}."
            add(p + "input_layernorm.weight", d)
            add(p + "post_attention_layernorm.weight", d)
            a = p + "self_attn."
            if q_rank := hf["q_lora_rank"]:
                add(a + "q_a_proj.weight", q_rank, d)
                add(a + "q_a_layernorm.weight", q_rank)
                add(a + "q_b_proj.weight", n * (nope + rope), q_rank)
                if bias:
                    add(a + "q_a_proj.bias", q_rank)
            else:
                add(a + "q_proj.weight", n * (nope + rope), d)
            add(a + "kv_a_proj_with_mqa.weight", rank + rope, d)
            add(a + "kv_a_layernorm.weight", rank)
            add(a + "kv_b_proj.weight", n * (nope + value), rank)
            add(a + "o_proj.weight", d, n * value)
            if bias:
                add(a + "kv_a_proj_with_mqa.bias", rank + rope)
                add(a + "o_proj.bias", d)
            if not self.is_mixture(i):
                feed_forward(p + "mlp.", hf["intermediate_size"])
                continue
            experts, ffn = hf["n_routed_experts"], hf["moe_intermediate_size"]
            add(p + "mlp.gate.weight", experts, d)
            if hf["model_type"] == "deepseek_v3":
                add(p + "mlp.gate.e_score_correction_bias", experts)
            add(p + "mlp.experts.gate_up_proj", experts, 2 * ffn, d)
            add(p + "mlp.experts.down_proj", experts, d, ffn)
            feed_forward(p + "mlp.shared_experts.", ffn * hf["n_shared_experts"])
        return w

    def decoder(self) -> tuple[Case, Weights]:
        return self, self.weights()


def route(hf: Mapping[str, Any], scores: Array, bias: Array | None) -> tuple[Array, Array]:
    """Scores [E] of a token to the experts it takes and their weights."""
    v3 = bias is not None
    p = 1.0 / (1.0 + np.exp(-scores)) if bias is not None else softmax(scores)
    choice = p + bias if bias is not None else p.copy()
    n_groups = (hf.get("n_group") or 1) if v3 or hf.get("topk_method") == "group_limited_greedy" else 1
    groups = np.sort(choice.reshape(n_groups, -1), axis=1)
    best = groups[:, -2:].sum(axis=1) if v3 else groups[:, -1]
    for g in np.argsort(-best)[hf["topk_group"] if n_groups > 1 else 1 :]:
        choice.reshape(n_groups, -1)[g] = -np.inf
    chosen = np.argsort(-choice, kind="stable")[: hf["num_experts_per_tok"]]
    weights = p[chosen]
    if v3 and hf.get("norm_topk_prob", True):
        weights = weights / weights.sum()
    return chosen, weights * hf.get("routed_scaling_factor", 2.5 if v3 else 1.0)


def turned(x: Array, hf: Mapping[str, Any]) -> Array:
    """x [T, heads, n_rot] rotated; neighbours together, or halves."""
    rope, n = hf["rope_parameters"], x.shape[-1]
    speed, magnitude = frequencies(rope, n, hf["max_position_embeddings"])
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        log = 0.1 * np.log(rope["factor"])
        magnitude = (rope["mscale"] * log + 1.0) / (rope["mscale_all_dim"] * log + 1.0)
    angles = np.arange(len(x))[:, None, None] * speed
    cos, sin = np.cos(angles) * magnitude, np.sin(angles) * magnitude
    if hf["model_type"] == "minicpm3" or not hf.get("rope_interleave", True):
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
    a, b = x[..., 0::2], x[..., 1::2]
    return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


def logits(case: Case, ids: list[int]) -> Array:
    """Token ids [T] to logits [T, V]."""
    hf, t = case.config(), len(ids)
    w = {name: value.astype(np.float64) for name, value in case.weights().items()}
    n, rank, eps = hf["num_attention_heads"], hf["kv_lora_rank"], hf["rms_norm_eps"]
    nope, rope, value = (hf[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    scale = (nope + rope) ** -0.5
    if all_dims := hf["rope_parameters"].get("mscale_all_dim"):
        scale *= (0.1 * all_dims * np.log(hf["rope_parameters"]["factor"]) + 1.0) ** 2
    minicpm = hf["model_type"] == "minicpm3"
    residual = hf["scale_depth"] / np.sqrt(hf["num_hidden_layers"]) if minicpm else 1.0

    def linear(x: Array, name: str) -> Array:
        y = x @ w[name + ".weight"].T
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def feed_forward(x: Array, p: str) -> Array:
        return linear(silu(linear(x, p + "gate_proj")) * linear(x, p + "up_proj"), p + "down_proj")

    def attend(x: Array, p: str) -> Array:
        if hf["q_lora_rank"]:
            c = rms_norm(linear(x, p + "q_a_proj"), w[p + "q_a_layernorm.weight"], LATENT_EPS)
            q = linear(c, p + "q_b_proj")
        else:
            q = linear(x, p + "q_proj")
        q = q.reshape(t, n, nope + rope)
        both = linear(x, p + "kv_a_proj_with_mqa")
        c = rms_norm(both[:, :rank], w[p + "kv_a_layernorm.weight"], LATENT_EPS)
        kv = linear(c, p + "kv_b_proj").reshape(t, n, nope + value)
        shared = turned(both[:, None, rank:], hf)
        k = np.concatenate([kv[..., :nope], np.repeat(shared, n, axis=1)], axis=-1)
        q = np.concatenate([q[..., :nope], turned(q[..., nope:], hf)], axis=-1)
        return linear(attention(q, k, kv[..., nope:], scale, None, None).reshape(t, -1), p + "o_proj")

    def mixture(x: Array, p: str) -> Array:
        y = feed_forward(x, p + "shared_experts.")
        for i, scores in enumerate(x @ w[p + "gate.weight"].T):
            for e, share in zip(*route(hf, scores, w.get(p + "gate.e_score_correction_bias")), strict=True):
                gate, up = np.split(w[p + "experts.gate_up_proj"][e] @ x[i], 2)
                y[i] += share * (w[p + "experts.down_proj"][e] @ (silu(gate) * up))
        return y

    x = w["model.embed_tokens.weight"][ids] * (hf["scale_emb"] if minicpm else 1.0)
    for i in range(hf["num_hidden_layers"]):
        p = f"model.layers.{i}."
        x = x + attend(rms_norm(x, w[p + "input_layernorm.weight"], eps), p + "self_attn.") * residual
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], eps)
        x = x + (mixture if case.is_mixture(i) else feed_forward)(h, p + "mlp.") * residual
    x = rms_norm(x, w["model.norm.weight"], eps)
    if minicpm:
        x = x * (hf["dim_model_base"] / hf["hidden_size"])
    return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}


def gguf(case: Case) -> dict[str, Array]:
    """The tensors of a GGUF file as llama.cpp's converter writes them, rows first."""
    hf, result = case.config(), {}
    n, nope = hf["num_attention_heads"], hf["qk_nope_head_dim"]
    for name, value in case.weights().items():
        if name.startswith("model.layers."):
            _, _, layer, part = name.split(".", 3)
            p = f"blk.{layer}."
        else:
            p, part = "", name
        stem, _, kind = part.rpartition(".")
        if part == "mlp.experts.gate_up_proj":
            result[p + "ffn_gate_exps.weight"], result[p + "ffn_up_exps.weight"] = np.split(value, 2, axis=1)
        elif part == "mlp.experts.down_proj":
            result[p + "ffn_down_exps.weight"] = value
        elif part == "mlp.gate.e_score_correction_bias":
            result[p + "exp_probs_b.bias"] = value
        elif part == "self_attn.kv_b_proj.weight" and not case.fused:
            heads = value.reshape(n, -1, value.shape[-1])
            result[p + "attn_k_b.weight"] = heads[:, :nope].swapaxes(1, 2)
            result[p + "attn_v_b.weight"] = heads[:, nope:]
        else:
            result[f"{p}{NAMES[stem]}.{kind}"] = value
    return result | {name: np.array(values, np.float32) for name, values in case.tensors.items()}


def write_file(path: Path, case: Case, kind: str = "F32", others: Mapping[str, Tensor] | None = None) -> Path:
    """The case's model as a GGUF file whose matrices are of that type, but for `others` with types of their own."""
    hf, a = case.config(), case.architecture
    rank, rope = hf["kv_lora_rank"], hf["qk_rope_head_dim"]
    of_head = {"key_length": hf["qk_nope_head_dim"] + rope, "value_length": hf["v_head_dim"]}
    keys: dict[str, Any] = {
        "block_count": hf["num_hidden_layers"],
        "context_length": hf["max_position_embeddings"],
        "embedding_length": hf["hidden_size"],
        "feed_forward_length": hf["intermediate_size"],
        "attention.head_count": hf["num_attention_heads"],
        "attention.head_count_kv": hf["num_attention_heads"] if case.fused else 1,
        "attention.layer_norm_rms_epsilon": hf["rms_norm_eps"],
        "attention.kv_lora_rank": rank,
        "rope.freq_base": hf["rope_parameters"]["rope_theta"],
        "rope.dimension_count": rope,
    }
    if hf["q_lora_rank"]:
        keys["attention.q_lora_rank"] = hf["q_lora_rank"]
    if case.fused:
        keys |= {f"attention.{name}": value for name, value in of_head.items()}
    else:
        keys |= {f"attention.{name}_mla": value for name, value in of_head.items()}
        keys |= {"attention.key_length": rank + rope, "attention.value_length": rank}
    if "n_routed_experts" in hf:
        keys |= {
            "expert_count": hf["n_routed_experts"],
            "expert_used_count": hf["num_experts_per_tok"],
            "expert_shared_count": hf["n_shared_experts"],
            "expert_feed_forward_length": hf["moe_intermediate_size"],
            "leading_dense_block_count": hf["first_k_dense_replace"],
        }
    keys |= dict(case.keys)
    tensors: dict[str, Tensor] = {}
    for name, value in gguf(case).items():
        own = kind if value.ndim > 1 else "F32"
        tensors[name] = (encode(value, own), own, value.shape[::-1])
    tensors |= others or {}
    named = {"general.architecture": a} | {
        f"{a}.{name}": value for name, value in keys.items() if value is not None
    }
    return write_gguf(path, named, tensors)


def write_folder(
    folder: Path, case: Case, changes: Mapping[str, Any] | None = None, **further: Array
) -> Path:
    """The same as a Hugging Face folder, with `changes` of its config.json and further tensors."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(case.config() | dict(changes or {})))
    write_weights(folder, on_disk_experts(case.weights()) | further)
    return folder


CASES: dict[str, Case] = {
    "deepseek-v2-lite": Case(
        "deepseek2",
        EXPERTS
        | {
            "model_type": "deepseek_v2",
            "q_lora_rank": None,
            "norm_topk_prob": False,
            "rope_parameters": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
        },
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 128,
            "rope.scaling.yarn_log_multiplier": 0.0707,
        },
        fused=True,
    ),
    "deepseek-v2": Case(
        "deepseek2",
        EXPERTS
        | {
            "model_type": "deepseek_v2",
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
            "norm_topk_prob": False,
            "routed_scaling_factor": 1.5,
        },
        {
            "expert_weights_scale": 1.5,
            "expert_gating_func": 1,
            "expert_group_count": 4,
            "expert_group_used_count": 2,
        },
    ),
    "deepseek-v3": Case(
        "deepseek2",
        EXPERTS
        | {
            "model_type": "deepseek_v3",
            "n_shared_experts": 1,
            "n_group": 4,
            "topk_group": 2,
            "routed_scaling_factor": 2.5,
            "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
        },
        {
            "expert_weights_scale": 2.5,
            "expert_weights_norm": True,
            "expert_gating_func": 2,
            "expert_group_count": 4,
            "expert_group_used_count": 2,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 128,
            "rope.scaling.yarn_log_multiplier": 0.1,
        },
    ),
    # Heads, ranks and positions of sizes that fit nothing.
    "deepseek-odd": Case(
        "deepseek2",
        EXPERTS
        | {
            "model_type": "deepseek_v3",
            "num_attention_heads": 5,
            "num_key_value_heads": 5,
            "kv_lora_rank": 44,
            "q_lora_rank": 20,
            "qk_nope_head_dim": 12,
            "qk_rope_head_dim": 10,
            "v_head_dim": 19,
            "hidden_size": 76,
            "n_routed_experts": 7,
            "n_group": 1,
            "topk_group": 1,
            "norm_topk_prob": False,
            "rope_interleave": False,
            "attention_bias": True,
        },
        in_file=False,  # of halves that rotate together
    ),
    "minicpm3": Case(
        "minicpm3",
        {
            "model_type": "minicpm3",
            "v_head_dim": 16,
            "tie_word_embeddings": True,
            "scale_emb": 12,
            "scale_depth": 1.4,
            "dim_model_base": 256,
            "rope_parameters": LONGROPE,
        },
        {
            "attention.value_length": None,  # files leave it to be guessed
            "rope.scaling.original_context_length": 128,
            "rope.scaling.attn_factor": float(np.sqrt(1 + np.log(4.0) / np.log(128.0))),
        },
        fused=True,
        tensors={
            "rope_factors_long.weight": LONGROPE["long_factor"],
            "rope_factors_short.weight": LONGROPE["short_factor"],
        },
    ),
}
