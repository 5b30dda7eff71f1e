"""How the config.json and the tensors of a Hugging Face folder say what a GGUF file says, family by family.

Each family is a function from config.json to a `Translation`; the architectures then read either kind of checkpoint.
Defaults are those of transformers' configuration classes, which leave out of config.json what equals them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nextoken import _native
from nextoken.checkpoints.hf_config import HARMLESS, ConfigJson
from nextoken.errors import UnsupportedModelError


@dataclass
class Translation:
    """What a folder says, in the words of GGUF."""

    architecture: str
    hparams: dict[str, Any] = field(default_factory=dict)  # without "<architecture>."
    origins: dict[str, str] = field(default_factory=dict)  # of hparams: the key in config.json
    tensors: Mapping[str, str] = field(default_factory=dict)  # the folder's name to GGUF's, {i} for the layer
    prefixes: tuple[str, ...] = ("",)  # the folder's names stand behind one of these
    unused: tuple[str, ...] = ()  # names, or parts of them, that play no part in the text model
    halved_heads: Mapping[str, int] = field(default_factory=dict)  # by GGUF's last name, see TensorInfo
    norm_plus: float = 0.0  # is added to weights of norms
    tied: bool = False
    rope_divisors: tuple[float, ...] = ()
    attention_scale: float | None = None  # where the architecture would choose another

    def put(self, name: str, value: Any, origin: str) -> None:
        self.hparams[name] = value
        self.origins[name] = origin


LLAMA_TENSORS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "model.layers.{i}.input_layernorm.weight": "blk.{i}.attn_norm.weight",
    "model.layers.{i}.self_attn.q_proj.weight": "blk.{i}.attn_q.weight",
    "model.layers.{i}.self_attn.k_proj.weight": "blk.{i}.attn_k.weight",
    "model.layers.{i}.self_attn.v_proj.weight": "blk.{i}.attn_v.weight",
    "model.layers.{i}.self_attn.o_proj.weight": "blk.{i}.attn_output.weight",
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.ffn_norm.weight",
    "model.layers.{i}.mlp.gate_proj.weight": "blk.{i}.ffn_gate.weight",
    "model.layers.{i}.mlp.up_proj.weight": "blk.{i}.ffn_up.weight",
    "model.layers.{i}.mlp.down_proj.weight": "blk.{i}.ffn_down.weight",
}
GEMMA3_TENSORS = LLAMA_TENSORS | {
    "model.layers.{i}.self_attn.q_norm.weight": "blk.{i}.attn_q_norm.weight",
    "model.layers.{i}.self_attn.k_norm.weight": "blk.{i}.attn_k_norm.weight",
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.post_attention_norm.weight",
    "model.layers.{i}.pre_feedforward_layernorm.weight": "blk.{i}.ffn_norm.weight",
    "model.layers.{i}.post_feedforward_layernorm.weight": "blk.{i}.post_ffw_norm.weight",
}
ROTARY_TABLES = "rotary_emb.inv_freq"  # old folders keep a table that follows from rope_theta


def _sizes(config: ConfigJson, t: Translation, *, n_ctx: int, eps: float) -> int:
    """The hyper-parameters every family has; returns the width of a head."""
    n_heads = config.integer("num_attention_heads")
    hidden = config.integer("hidden_size")
    if n_heads < 1:
        raise config.error("num_attention_heads", f"is {n_heads}, at least 1 was expected")
    n_kv_heads = config.integer("num_key_value_heads", n_heads)
    head_dim = config.integer("head_dim", hidden // n_heads)
    for name, value, origin in (
        ("context_length", config.integer("max_position_embeddings", n_ctx), "max_position_embeddings"),
        ("embedding_length", hidden, "hidden_size"),
        ("feed_forward_length", config.integer("intermediate_size"), "intermediate_size"),
        ("block_count", config.integer("num_hidden_layers"), "num_hidden_layers"),
        ("attention.head_count", n_heads, "num_attention_heads"),
        ("attention.head_count_kv", n_kv_heads, "num_key_value_heads"),
        ("attention.key_length", head_dim, "head_dim"),
        ("attention.value_length", head_dim, "head_dim"),
        ("rope.dimension_count", head_dim, "head_dim"),
        ("attention.layer_norm_rms_epsilon", config.number("rms_norm_eps", eps), "rms_norm_eps"),
        ("vocab_size", config.integer("vocab_size"), "vocab_size"),
    ):
        t.put(name, value, origin)
    config.only("attention_bias", (False, None), False)
    return head_dim


def llama(config: ConfigJson) -> Translation:
    """Llama 1 to 3. Rows of q and k are halves that rotate together here, and pairs in GGUF."""
    t = Translation("llama", tensors=LLAMA_TENSORS, unused=(ROTARY_TABLES,))
    head_dim = _sizes(config, t, n_ctx=2048, eps=1e-6)
    config.only("hidden_act", ("silu",), "silu")
    config.only("mlp_bias", (False, None), False)
    t.tied = config.flag("tie_word_embeddings", False)
    _rope(config, t, head_dim, theta=10000.0)
    t.halved_heads = {
        "attn_q": t.hparams["attention.head_count"],
        "attn_k": t.hparams["attention.head_count_kv"],
    }
    return t


def mistral(config: ConfigJson) -> Translation:
    """Mistral is llama, as long as its sliding window is none or as wide as the context."""
    window = config.integer("sliding_window", 4096) if config.has("sliding_window") else None
    t = llama(config)
    if window is not None and window < t.hparams["context_length"]:
        raise UnsupportedModelError(
            f"{config.path}: sliding_window is {window}, less than max_position_embeddings; "
            "this version applies none to this family"
        )
    return t


def gemma3(config: ConfigJson) -> Translation:
    """Gemma 3: norms multiply by 1 + weight, every n-th layer sees everything."""
    t = Translation("gemma3", tensors=GEMMA3_TENSORS, norm_plus=1.0)
    _sizes(config, t, n_ctx=131072, eps=1e-6)
    config.only("hidden_activation", ("gelu_pytorch_tanh",), "gelu_pytorch_tanh")
    config.only("use_bidirectional_attention", (False, None), False)
    t.tied = config.flag("tie_word_embeddings", True)
    t.attention_scale = 1.0 / math.sqrt(_positive(config, "query_pre_attn_scalar", 256.0))
    if config.has("final_logit_softcapping"):
        t.put("final_logit_softcapping", config.number("final_logit_softcapping"), "final_logit_softcapping")
    config.only("attn_logit_softcapping", (None,), None)  # transformers keeps it and does not apply it
    t.put("attention.sliding_window", config.integer("sliding_window", 4096), "sliding_window")
    n_layers: int = t.hparams["block_count"]
    every = config.integer("sliding_window_pattern", config.integer("_sliding_window_pattern", 6))
    if config.has("layer_types"):
        types = config.texts("layer_types")
        full = [i for i, kind in enumerate(types) if kind == "full_attention"]
        every = full[0] + 1 if full else n_layers + 1
        pattern = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(n_layers)]
        if types != pattern:
            raise UnsupportedModelError(
                f"{config.path}: layer_types is no pattern of every n-th full attention"
            )
    t.put("attention.sliding_window_pattern", every, "sliding_window_pattern")
    rope = config.part("rope_parameters")
    if config.has("rope_parameters"):
        full_rope, local = rope.part("full_attention"), rope.part("sliding_attention")
        local.only("rope_type", ("default",), "default")
        t.put("rope.freq_base_swa", local.number("rope_theta", 10000.0), "rope_parameters")
        _scaling(full_rope, t, full_rope.number("rope_theta", 1e6), 0)
        for part in (rope, local, full_rope):
            part.require_all_read()
    else:
        t.put("rope.freq_base_swa", config.number("rope_local_base_freq", 10000.0), "rope_local_base_freq")
        scaling = config.part("rope_scaling")
        _scaling(scaling, t, config.number("rope_theta", 1e6), 0)
        scaling.require_all_read()
    return t


def gemma3_with_vision(config: ConfigJson) -> Translation:
    """The text half of a model that also sees; its images are out of reach here."""
    text = config.part("text_config")
    t = gemma3(text)
    text.require_all_read(HARMLESS)
    for key in (
        "vision_config",
        "boi_token_index",
        "eoi_token_index",
        "image_token_index",
        "mm_tokens_per_image",
    ):
        config.has(key)
    config.has("tie_word_embeddings")
    t.prefixes = ("", "language_model.", "model.language_model.")
    t.unused = ("vision_tower.", "multi_modal_projector.")
    return t


FAMILIES: dict[str, Callable[[ConfigJson], Translation]] = {
    "llama": llama,
    "mistral": mistral,
    "gemma3_text": gemma3,
    "gemma3": gemma3_with_vision,
}


def translate(values: Mapping[str, Any], path: str, *, allow_unused: bool = False) -> Translation:
    """What config.json says, for the family it names.

    Raises UnsupportedModelError for an unknown model_type and (without `allow_unused`) for a key that may change the
    arithmetic and is not applied; ModelFormatError, naming the key, for values that are missing or of another type.
    """
    config = ConfigJson(values, path, allow_unused=allow_unused)
    kind = config.text("model_type")
    if kind not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UnsupportedModelError(
            f"{path}: model_type {kind[:64]!a} is not supported as a folder; these are: {known}"
        )
    config.only("quantization_config", (None,), None)
    translation = FAMILIES[kind](config)
    config.require_all_read(HARMLESS)
    return translation


def _rope(config: ConfigJson, t: Translation, head_dim: int, theta: float) -> None:
    """Rotary base and scaling: `rope_parameters` since transformers 5, `rope_theta` and `rope_scaling` before."""
    config.only("partial_rotary_factor", (1.0, 1, None), None)
    rope = config.part("rope_parameters")
    scaling = rope if config.has("rope_parameters") else config.part("rope_scaling")
    base = rope.number("rope_theta") if rope.has("rope_theta") else config.number("rope_theta", theta)
    config.has("rope_theta")
    _scaling(scaling, t, base, head_dim)
    scaling.require_all_read()


def _scaling(scaling: ConfigJson, t: Translation, theta: float, head_dim: int) -> None:
    t.put("rope.freq_base", theta, "rope_theta")
    kind = scaling.text("type", "default")
    kind = scaling.text("rope_type", kind)
    scaling.only("partial_rotary_factor", (1.0, 1, None), None)
    if kind == "default":
        return
    if kind == "linear":
        t.put("rope.scaling.type", "linear", "rope_scaling")
        t.put("rope.scaling.factor", scaling.number("factor"), "rope_scaling.factor")
    elif kind == "llama3" and head_dim:
        t.rope_divisors = _llama3_divisors(scaling, theta, head_dim)
    else:
        raise UnsupportedModelError(
            f"{scaling.path}: rope_type {kind[:64]!a} is not applied by this version to this family"
        )


def _llama3_divisors(scaling: ConfigJson, theta: float, head_dim: int) -> tuple[float, ...]:
    """What each rotary frequency is divided by: nothing for short waves, `factor` for long ones. arXiv:2407.21783"""
    factor, low = _positive(scaling, "factor"), _positive(scaling, "low_freq_factor")
    high, n_ctx = (
        _positive(scaling, "high_freq_factor"),
        _positive(scaling, "original_max_position_embeddings"),
    )
    if high <= low:
        raise scaling.error("high_freq_factor", f"is {high}, more than low_freq_factor was expected")
    if theta < 1.0 or head_dim < 1 or head_dim > 65536:
        return ()  # refused further on, by name
    divisors = []
    for i in range(head_dim // 2):
        wave = 2.0 * math.pi * float(_native.kernels.exact_pow(theta, 2.0 * i / head_dim))
        smooth = min(1.0, max(0.0, (n_ctx / wave - low) / (high - low)))
        divisors.append(1.0 / ((1.0 - smooth) / factor + smooth))
    return tuple(divisors)


def _positive(config: ConfigJson, key: str, default: float | None = None) -> float:
    value = config.number(key, default)
    if value <= 0.0:
        raise config.error(key, f"is {value}, a number above zero was expected")
    return value
