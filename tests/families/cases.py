"""The families of decoders.py: what config.json and a GGUF file of each say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.families import decoders, mixtures
from tests.families.decoders import FFN, HEAD_DIM, HEADS, Asked, D
from tests.families.family import N_CTX, N_LAYERS, VOCAB, Weights
from tests.families.folders import on_disk_experts
from tests.families.parts import Decoder, Format, gguf
from tests.families.positions import LLAMA3
from tests.gguf_files import encode
from tests.gguf_pieces import Tensor, write_gguf
from tests.hf_folders import write_weights


@dataclass(frozen=True)
class Case:
    """`hf` is config.json (None: transformers lacks the family), `keys` what a GGUF file has beyond the common ones."""

    architecture: str
    build: Callable[[Asked, Mapping[str, Any]], Decoder]
    hf: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    format: Format = field(default_factory=Format)
    one: float = 1.0
    in_transformers: bool = True
    on_disk: Callable[[Weights], Weights] = dict  # weights by the names that folders have

    def decoder(self) -> tuple[Decoder, Weights]:
        asked = Asked(self.one)
        return self.build(asked, self.hf), asked.weights

    def config(self) -> dict[str, Any]:
        return {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2} | dict(self.hf)


def write_file(path: Path, case: Case, kind: str = "F32") -> Path:
    """The case's model as a GGUF file whose matrices are of that type."""
    m, _ = case.decoder()
    a = case.architecture
    keys: dict[str, Any] = {
        "general.architecture": a,
        f"{a}.block_count": len(m.layers),
        f"{a}.context_length": N_CTX,
        f"{a}.embedding_length": D,
        f"{a}.feed_forward_length": len(m.layers[0].up.weight),
        f"{a}.attention.head_count": m.heads,
        f"{a}.attention.head_count_kv": m.kv_heads,
        f"{a}.attention.layer_norm_{'' if m.layer_norm else 'rms_'}epsilon": m.eps,
    }
    if m.head_dim != D // m.heads:
        keys |= {f"{a}.attention.{part}_length": m.head_dim for part in ("key", "value")}
    if m.n_rot is not None:
        keys[f"{a}.rope.dimension_count"] = m.n_rot
    keys |= {f"{a}.{name}": value for name, value in case.keys.items()}
    tensors: dict[str, Tensor] = {}
    for name, value in gguf(m, case.format).items():
        matrix = value.ndim > 1 and "norm" not in name
        data = encode(value, kind) if matrix else np.ascontiguousarray(value, np.float32).tobytes()
        tensors[name] = (data, kind if matrix else "F32", value.shape[::-1])
    return write_gguf(path, keys, tensors)


def write_folder(folder: Path, case: Case, changes: Mapping[str, Any] | None = None) -> Path:
    """The same as a Hugging Face folder, with `changes` of its config.json."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(case.config() | dict(changes or {})))
    write_weights(folder, case.on_disk(case.decoder()[1]))
    return folder


GPT = {"n_embd": D, "n_layer": N_LAYERS, "n_head": HEADS, "n_positions": N_CTX}
COMMON = {
    "hidden_size": D,
    "intermediate_size": FFN,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": N_CTX,
}


MODERN = COMMON | {
    "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
MPT = {"d_model": D, "n_layers": N_LAYERS, "n_heads": HEADS, "max_seq_len": N_CTX}
FALCON = {name: value for name, value in COMMON.items() if name != "intermediate_size"}
THREE_TO_ONE = [*["sliding_attention"] * 3, "full_attention"]
QUARTER = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
FUSED, PAIRED = Format(("qkv",)), Format(paired=True)


def modern(architecture: str, config: Mapping[str, Any], **options: Any) -> Case:
    return Case(architecture, decoders.modern, MODERN | config, **options)


LLAMA4 = {
    "model_type": "llama4_text",
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "intermediate_size": mixtures.EXPERT_FFN,
    "intermediate_size_mlp": FFN,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "interleave_moe_layer_step": 2,
    "attention_chunk_size": 72,
    "floor_scale": 50,
    "attn_scale": 0.5,
}
LLAMA4_KEYS = {
    "expert_count": 5,
    "expert_used_count": 2,
    "expert_feed_forward_length": mixtures.EXPERT_FFN,
    "interleave_moe_layer_step": 2,
    "attention.sliding_window": 72,
    "attention.temperature_length": 50,
    "attention.temperature_scale": 0.5,
    "rope.dimension_count": 32,
}
GLM4_MOE = {
    "model_type": "glm4_moe",
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "attention_bias": True,
    "use_qk_norm": True,
    "moe_intermediate_size": mixtures.EXPERT_FFN,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
}
GLM4_MOE_KEYS = {
    "expert_count": 6,
    "expert_used_count": 2,
    "expert_shared_count": 2,
    "expert_feed_forward_length": mixtures.EXPERT_FFN,
    "expert_weights_scale": 1.5,
    "expert_weights_norm": True,
    "leading_dense_block_count": 1,
}
EXPERTS_BEHIND: dict[str, Any] = {
    "format": Format(names={"ffn_norm": "post_attention_norm"}),
    "on_disk": on_disk_experts,
}
BLOOM = {
    "model_type": "bloom",
    "hidden_size": D,
    "n_layer": N_LAYERS,
    "n_head": HEADS,
    "seq_length": N_CTX,
}
OPT = {name: value for name, value in COMMON.items() if name != "intermediate_size"} | {
    "model_type": "opt",
    "ffn_dim": FFN,
    "word_embed_proj_dim": D,
}
CASES: dict[str, Case] = {
    "gpt2": Case("gpt2", decoders.gpt2, {"model_type": "gpt2", **GPT}, format=FUSED),
    "gptneox": Case("gptneox", decoders.gptneox, {"model_type": "gpt_neox", **COMMON}, format=FUSED),
    "gptneox-sequential": Case(
        "gptneox",
        decoders.gptneox,
        {"model_type": "gpt_neox", **COMMON, "use_parallel_residual": False},
        {"use_parallel_residual": False},
        FUSED,
    ),
    "phi2": Case("phi2", decoders.phi, {"model_type": "phi", **MODERN}),
    "stablelm": modern("stablelm", {"model_type": "stablelm", "rope_parameters": QUARTER}),
    "stablelm-12b": modern(
        "stablelm",
        {
            "model_type": "stablelm",
            "rope_parameters": QUARTER,
            "use_parallel_residual": True,
            "use_qkv_bias": True,
        },
        keys={"use_parallel_residual": True},
    ),
    "stablelm-normed": modern(
        "stablelm", {"model_type": "stablelm", "rope_parameters": QUARTER, "qk_layernorm": True}
    ),
    "starcoder2": modern(
        "starcoder2",
        {"model_type": "starcoder2", "sliding_window": 40},
        keys={"attention.sliding_window": 40},
    ),
    "falcon-7b": Case("falcon", decoders.falcon, {"model_type": "falcon", **FALCON}, format=FUSED),
    "falcon-40b": Case(
        "falcon",
        decoders.falcon,
        {"model_type": "falcon", **FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
        format=Format(("qkv",), {"attn_norm": "attn_norm_2", "ffn_norm": "attn_norm"}),
    ),
    "gptj": Case("gptj", decoders.gptj, {"model_type": "gptj", **GPT, "rotary_dim": 8}),
    "bloom": Case("bloom", decoders.bloom, BLOOM, format=FUSED),
    "mpt": Case(
        "mpt",
        decoders.mpt,
        {"model_type": "mpt", **MPT, "attn_config": {"clip_qkv": 1.0}},
        {"attention.clamp_kqv": 1.0, "attention.max_alibi_bias": 8.0},
        FUSED,
    ),
    "opt": Case("opt", decoders.opt, OPT),
    "llama4": Case(
        "llama4",
        mixtures.llama4,
        MODERN | LLAMA4,
        LLAMA4_KEYS,
    ),
    "llama4-maverick": Case(
        "llama4",
        mixtures.llama4,
        MODERN | LLAMA4 | {"num_local_experts": 128, "use_qk_norm": False},
        LLAMA4_KEYS | {"expert_count": 128},
    ),
    "llama4-dense": Case(  # which sees everything
        "llama4",
        mixtures.llama4,
        MODERN
        | LLAMA4
        | {"moe_layers": [], "no_rope_layers": [1] * N_LAYERS, "layer_types": ["full_attention"] * N_LAYERS},
        {"rope.dimension_count": 32, "attention.sliding_window": 0},
    ),
    "command-r": modern(
        "command-r", {"model_type": "cohere", "logit_scale": 0.25}, keys={"logit_scale": 0.25}
    ),
    "command-r-plus": modern(
        "command-r",
        {"model_type": "cohere", "logit_scale": 0.25, "use_qk_norm": True},
        keys={"logit_scale": 0.25},
    ),
    "cohere2": modern(
        "cohere2",
        {"model_type": "cohere2", "logit_scale": 0.25, "sliding_window": 40, "layer_types": THREE_TO_ONE},
        keys={"logit_scale": 0.25, "attention.sliding_window": 40},
    ),
    "glm": modern(
        "chatglm", {"model_type": "glm", "head_dim": 32, "rms_norm_eps": 1e-5}, format=Format(("gate_up",))
    ),
    "glm4-moe": Case("glm4moe", mixtures.glm4_moe, MODERN | GLM4_MOE, GLM4_MOE_KEYS, **EXPERTS_BEHIND),
    "glm4-moe-air": Case(
        "glm4moe",
        mixtures.glm4_moe,
        MODERN | GLM4_MOE | {"use_qk_norm": False},
        GLM4_MOE_KEYS,
        **EXPERTS_BEHIND,
    ),
    "glm4": modern(
        "glm4", {"model_type": "glm4", "head_dim": 32, "rms_norm_eps": 1e-5}, format=Format(("gate_up",))
    ),
    "exaone4": modern(
        "exaone4",
        {"model_type": "exaone4", "sliding_window": None, "layer_types": ["full_attention"] * N_LAYERS},
    ),
    "exaone4-32b": modern(
        "exaone4",
        {"model_type": "exaone4", "sliding_window": 40, "layer_types": THREE_TO_ONE},
        keys={
            "attention.sliding_window": 40,
            "attention.sliding_window_pattern": [True, True, True, False],
        },
    ),
    "nemotron": modern(
        "nemotron",
        {"model_type": "nemotron", "attention_bias": True, "mlp_bias": True},
        keys={"attention.layer_norm_rms_epsilon": 1e-5},
        one=0.0,
    ),
    "ernie4_5": modern("ernie4_5", {"model_type": "ernie4_5", "head_dim": 32}),
    "hunyuan": modern("hunyuan-dense", {"model_type": "hunyuan_v1_dense", "head_dim": 32}),
    "arcee": modern("arcee", {"model_type": "arcee", "mlp_bias": True}, format=PAIRED),
    "internlm2": modern("internlm2", {"model_type": "internlm2"}, format=PAIRED, in_transformers=False),
    "minicpm": modern(
        "minicpm",
        {"model_type": "minicpm", "scale_emb": 12.0, "scale_depth": 1.4, "dim_model_base": 32},
        keys={"embedding_scale": 12.0, "residual_scale": 0.7, "logit_scale": 3.0},
        format=PAIRED,
        in_transformers=False,
    ),
}

# What folders say and files do not.
IN_FOLDERS: dict[str, Case] = {
    "phi-normed": Case("phi2", decoders.phi, {"model_type": "phi", **MODERN, "qk_layernorm": True}),
    "gpt2-by-layer": Case(
        "gpt2", decoders.gpt2, {"model_type": "gpt2", **GPT, "scale_attn_by_inverse_layer_idx": True}
    ),
    "falcon-rw": Case(
        "falcon",
        decoders.falcon,
        {
            "model_type": "falcon",
            **FALCON,
            "alibi": True,
            "bias": True,
            "multi_query": False,
            "parallel_attn": False,
        },
    ),
    "opt-350m": Case("opt", decoders.opt, OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 40}),
    "llama4-without": Case(  # norms, a temperature, a chunk on every layer that rotates
        "llama4",
        mixtures.llama4,
        MODERN
        | LLAMA4
        | {
            "use_qk_norm": False,
            "attn_temperature_tuning": False,
            "moe_layers": [0, 3],
            "no_rope_layers": [1, 0, 1, 1],
            "layer_types": ["full_attention", "chunked_attention", "chunked_attention", "full_attention"],
            "attention_chunk_size": 64,
        },
    ),
    "galactica": Case(
        "opt", decoders.opt, OPT | {"enable_bias": False, "layer_norm_elementwise_affine": False}
    ),
    "starcoder2-llama3": modern(
        "starcoder2", {"model_type": "starcoder2", "sliding_window": None, "rope_parameters": LLAMA3}
    ),
    "bloom-normed-stream": Case(
        "bloom", decoders.bloom, BLOOM | {"apply_residual_connection_post_layernorm": True}
    ),
    "glm-gelu": modern(
        "chatglm", {"model_type": "glm", "head_dim": 32, "rms_norm_eps": 1e-5, "hidden_act": "gelu"}
    ),
    "command-r-biased": modern(
        "command-r",
        {"model_type": "cohere", "logit_scale": 0.25, "use_qk_norm": True, "attention_bias": True},
    ),
    "internlm2": Case(
        "internlm2",
        decoders.internlm2,
        {"model_type": "internlm2", **MODERN, "rms_norm_eps": 1e-5, "bias": True},
        in_transformers=False,
    ),
    "internlm3": modern("llama", {"model_type": "internlm3", "head_dim": HEAD_DIM}),
    "minicpm": modern(
        "minicpm",
        {
            "model_type": "minicpm",
            "scale_emb": 12.0,
            "scale_depth": 1.4,
            "dim_model_base": 32,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
        },
        in_transformers=False,
    ),
}
