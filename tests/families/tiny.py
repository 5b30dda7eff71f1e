"""The tiny models of dense.py and experts.py as GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.families import dense, experts
from tests.families.family import Family, Weights, weights
from tests.gguf_files import encode
from tests.gguf_pieces import Tensor, write_gguf

FAMILIES = dense.FAMILIES | experts.FAMILIES
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
    "post_attention_layernorm": "ffn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gguf_name(name: str, family: Family) -> str:
    """The name of a weight in a GGUF file."""
    tops = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, _, end = name.rpartition(".")
    if stem in tops:
        return f"{tops[stem]}.{end}"
    _, _, layer, part = stem.split(".", 3)
    part = part.replace("block_sparse_moe.experts", "mlp.experts")
    return f"blk.{layer}.{(GGUF_NAMES | dict(family.names))[part]}.{end}"


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
    for name, value in all_weights.items():
        if family.permuted and ("q_proj" in name or "k_proj" in name):
            n = hf["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            halves = value.reshape(n, 2, len(value) // n // 2, *value.shape[1:])
            value = halves.swapaxes(1, 2).reshape(value.shape)
        if family.norm_offset and "norm" in name:
            value = value + np.float32(family.norm_offset)
        result[gguf_name(name, family)] = value
    for name, factors in family.rope_factors.items():
        result[name] = np.array(factors, np.float32)
    return result


def write(
    path: Path, family: Family, kind: str = "F32", others: Mapping[str, Tensor | None] | None = None
) -> Path:
    """The family's model as a GGUF file whose matrices are of that type, but for `others` with types of their own.

    Those that are None are left out.
    """
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
    together = tensors | dict(others or {})
    return write_gguf(path, keys, {name: tensor for name, tensor in together.items() if tensor})
