"""How the config.json and the tensors of a Hugging Face folder say what a GGUF file says.

Each family has a function from config.json to a `Translation`, beside its spec in `architectures`; the architectures
then read either kind of checkpoint. Defaults are those of transformers' configuration classes, which leave out of
config.json what equals them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nextoken import _native
from nextoken._native import Gate
from nextoken.checkpoints.hf_config import HARMLESS, ConfigJson
from nextoken.checkpoints.hf_parts import Part
from nextoken.checkpoints.hf_quantization import Quantization, quantization
from nextoken.errors import UnsupportedModelError

Folder = Callable[[ConfigJson], "Translation"]
SpecChange = Callable[[_native.Spec, int], None]  # (spec, n_ctx)

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
QK_NORMS = {
    "model.layers.{i}.self_attn.q_norm.weight": "blk.{i}.attn_q_norm.weight",
    "model.layers.{i}.self_attn.k_norm.weight": "blk.{i}.attn_k_norm.weight",
}
SANDWICH_NORMS = {
    "model.layers.{i}.post_attention_layernorm.weight": "blk.{i}.post_attention_norm.weight",
    "model.layers.{i}.pre_feedforward_layernorm.weight": "blk.{i}.ffn_norm.weight",
    "model.layers.{i}.post_feedforward_layernorm.weight": "blk.{i}.post_ffw_norm.weight",
}
EXPERTS = {
    "model.layers.{i}.mlp.gate.weight": "blk.{i}.ffn_gate_inp.weight",
    "model.layers.{i}.mlp.experts.{e}.gate_proj.weight": "blk.{i}.ffn_gate.{e}.weight",
    "model.layers.{i}.mlp.experts.{e}.up_proj.weight": "blk.{i}.ffn_up.{e}.weight",
    "model.layers.{i}.mlp.experts.{e}.down_proj.weight": "blk.{i}.ffn_down.{e}.weight",
}
QKV_BIASES = {
    "model.layers.{i}.self_attn.q_proj.bias": "blk.{i}.attn_q.bias",
    "model.layers.{i}.self_attn.k_proj.bias": "blk.{i}.attn_k.bias",
    "model.layers.{i}.self_attn.v_proj.bias": "blk.{i}.attn_v.bias",
}
ATTENTION_BIASES = QKV_BIASES | {"model.layers.{i}.self_attn.o_proj.bias": "blk.{i}.attn_output.bias"}
MLP_BIASES = {
    "model.layers.{i}.mlp.gate_proj.bias": "blk.{i}.ffn_gate.bias",
    "model.layers.{i}.mlp.up_proj.bias": "blk.{i}.ffn_up.bias",
    "model.layers.{i}.mlp.down_proj.bias": "blk.{i}.ffn_down.bias",
}
GATES = {
    "gelu": Gate.gelu,
    "gelu_accurate": Gate.gelu_tanh,
    "gelu_fast": Gate.gelu_tanh,
    "gelu_new": Gate.gelu_tanh,
    "gelu_python": Gate.gelu,
    "gelu_python_tanh": Gate.gelu_tanh,
    "gelu_pytorch_tanh": Gate.gelu_tanh,
    "relu": Gate.relu,
    "relu2": Gate.relu_squared,
    "silu": Gate.silu,
    "swish": Gate.silu,
}
ROTARY_TABLES = "rotary_emb.inv_freq"  # old folders keep a table that follows from rope_theta


@dataclass
class Translation:
    """What a folder says, in the words of GGUF."""

    architecture: str
    tensors: Mapping[str, str] = field(default_factory=lambda: LLAMA_TENSORS)
    """The folder's name to GGUF's, {i} standing for the layer and {e} for the expert."""
    parts: Mapping[str, tuple[Part, ...]] = field(
        default_factory=dict
    )  # of the folder's tensors that hold several
    hparams: dict[str, Any] = field(default_factory=dict)  # without "<architecture>."
    origins: dict[str, str] = field(default_factory=dict)  # of hparams: the key in config.json
    prefixes: tuple[str, ...] = ("",)  # the folder's names stand behind one of these
    unused: tuple[str, ...] = (ROTARY_TABLES,)  # names, or parts of them, that play no part in the text model
    required: tuple[str, ...] = ()  # GGUF's names that the family may lack, and this config.json does not
    halved_heads: Mapping[str, int] = field(default_factory=dict)  # by GGUF's last name, see TensorInfo
    qkv_groups: int = 0  # of fused q, k, v, see TensorInfo
    transposed: tuple[str, ...] = ()  # by GGUF's last name: matrices that stand column by column
    skipped_rows: Mapping[str, int] = field(default_factory=dict)  # by GGUF's name: before the first used
    norm_plus: float = 0.0  # is added to weights of norms
    tied: bool = False
    rope_divisors: tuple[float, ...] = ()
    quantization: Quantization = field(
        default_factory=Quantization
    )  # of all weights that are no floats by themselves
    plain_norms: tuple[str, ...] = ()  # GGUF's names of norms that multiply by one, and are in no file
    layers: list[_native.LayerSpec] = field(default_factory=list)  # if not empty, these are the spec's
    changes: list[SpecChange] = field(default_factory=list)  # of what GGUF has no words for

    def put(self, name: str, value: Any, origin: str) -> None:
        self.hparams[name] = value
        self.origins[name] = origin

    def add(self, tensors: Mapping[str, str]) -> None:
        """Tensors that the family may lack and this folder has to have: biases, norms of heads."""
        self.tensors = {**self.tensors, **tensors}
        self.required += tuple(name.format(i="{i}", e=0) for name in tensors.values())

    def pair_heads(self) -> None:
        """Rows of q and k are halves that rotate together here, and pairs in GGUF."""
        self.halved_heads = {
            "attn_q": self.hparams["attention.head_count"],
            "attn_k": self.hparams["attention.head_count_kv"],
        }

    def finish(self, spec: _native.Spec, n_ctx: int) -> None:
        if self.layers:
            spec.layers = self.layers
        for change in self.changes:
            change(spec, n_ctx)


_folders: dict[str, Folder] = {}


def folder(*model_types: str) -> Callable[[Folder], Folder]:
    """Declare the function that reads config.json where it names one of `model_types`."""

    def add(function: Folder) -> Folder:
        _folders.update(dict.fromkeys(model_types, function))
        return function

    return add


def model_types() -> list[str]:
    """What config.json may name."""
    return sorted(_folders)


def translate(values: Mapping[str, Any], path: str, *, allow_unused: bool = False) -> Translation:
    """What config.json says, for the family it names.

    Raises UnsupportedModelError for an unknown model_type and (without `allow_unused`) for a key that may change the
    arithmetic and is not applied; ModelFormatError, naming the key, for values that are missing or of another type.
    """
    config = ConfigJson(values, path, allow_unused=allow_unused)
    kind = config.text("model_type")
    if kind not in _folders:
        raise UnsupportedModelError(
            f"{path}: model_type {kind[:64]!a} is not supported as a folder; these are: {', '.join(model_types())}"
        )
    quantized = quantization(config)
    translation = _folders[kind](config)
    translation.quantization = quantized
    config.require_all_read(HARMLESS)
    return translation


def text_half(config: ConfigJson, read: Folder) -> Translation:
    """The text half of a model that also sees; its images are out of reach here."""
    text = config.part("text_config")
    t = read(text)
    text.require_all_read(HARMLESS)
    config.ignore(
        "vision_config",
        "boi_token_index",
        "eoi_token_index",
        "image_token_index",
        "mm_tokens_per_image",
        "tie_word_embeddings",
    )
    t.prefixes = ("", "language_model.", "model.language_model.")
    t.unused += ("vision_tower.", "vision_model.", "multi_modal_projector.")
    return t


def sizes(
    config: ConfigJson,
    t: Translation,
    *,
    n_ctx: int = 2048,
    eps: float = 1e-6,
    n_kv_heads: int | None = None,
    head_dim: int | None = None,
    tied: bool = False,
    layer_norm: str | None = None,
    ffn_times: int | None = None,
) -> None:
    """The hyper-parameters every family has; the defaults are the family's.

    `layer_norm` is the key of its epsilon where norms are no RMS norms; without `intermediate_size` the feed-forward is
    `ffn_times` as wide as the stream.
    """
    n_heads = config.integer("num_attention_heads")
    hidden = config.integer("hidden_size")
    if n_heads < 1:
        raise config.error("num_attention_heads", f"is {n_heads}, at least 1 was expected")
    default = n_heads if n_kv_heads is None or config.is_null("num_key_value_heads") else n_kv_heads
    n_kv_heads = config.integer("num_key_value_heads", default)
    width = hidden // n_heads if head_dim is None or config.is_null("head_dim") else head_dim
    head_dim = config.integer("head_dim", width)
    ffn_size = None if ffn_times is None else ffn_times * hidden
    norm = layer_norm or "rms_norm_eps"
    for name, value, origin in (
        ("context_length", config.integer("max_position_embeddings", n_ctx), "max_position_embeddings"),
        ("embedding_length", hidden, "hidden_size"),
        ("feed_forward_length", config.integer("intermediate_size", ffn_size), "intermediate_size"),
        ("block_count", config.integer("num_hidden_layers"), "num_hidden_layers"),
        ("attention.head_count", n_heads, "num_attention_heads"),
        ("attention.head_count_kv", n_kv_heads, "num_key_value_heads"),
        ("attention.key_length", head_dim, "head_dim"),
        ("attention.value_length", head_dim, "head_dim"),
        ("rope.dimension_count", head_dim, "head_dim"),
        (f"attention.layer_norm_{'' if layer_norm else 'rms_'}epsilon", config.number(norm, eps), norm),
        ("vocab_size", config.integer("vocab_size"), "vocab_size"),
    ):
        t.put(name, value, config.name(origin))
    t.tied = config.flag("tie_word_embeddings", tied)


def biases(config: ConfigJson, t: Translation, *, mlp: bool = False, default: bool = False) -> None:
    """Biases of attention, and with `mlp` of the feed-forward, where config.json asks for them."""
    if config.flag("attention_bias", default):
        t.add(ATTENTION_BIASES)
    if mlp and config.flag("mlp_bias", False):
        t.add(MLP_BIASES)


def activation(config: ConfigJson, t: Translation, default: str = "silu", key: str = "hidden_act") -> None:
    """The function of the feed-forward that config.json names, whatever the family has."""
    name = config.only(key, tuple(GATES), default)

    def choose(spec: _native.Spec, _n_ctx: int) -> None:
        spec.gate = GATES[name]

    t.changes.append(choose)


def experts(config: ConfigJson, t: Translation, count: str, *, normalized: bool | None = None) -> None:
    """A mixture of experts; `count` is the key that says how many there are."""
    t.put("expert_count", config.integer(count), count)
    t.put("expert_used_count", config.integer("num_experts_per_tok"), "num_experts_per_tok")
    if normalized is None:
        normalized = config.flag("norm_topk_prob", False)

    def normalize(spec: _native.Spec, _n_ctx: int) -> None:
        changed = spec.experts
        changed.normalized = normalized
        spec.experts = changed

    t.changes.append(normalize)


def sparse_layers(config: ConfigJson, t: Translation) -> None:
    """Layers that have no experts: those of `mlp_only_layers`, and all but every so many."""
    step = config.integer("decoder_sparse_step", 1)
    if step < 1:
        raise config.error("decoder_sparse_step", f"is {step}, at least 1 was expected")
    listed = config.items("mlp_only_layers") if config.has("mlp_only_layers") else []
    if not all(type(i) is int for i in listed):
        raise config.error("mlp_only_layers", "holds something else than integers")

    dense_layers(t, lambda i: (i + 1) % step != 0 or i in listed)


def dense_layers(t: Translation, is_dense: Callable[[int], bool]) -> None:
    """Layers that have no experts in a mixture of them."""

    def choose(spec: _native.Spec, _n_ctx: int) -> None:
        changed = spec.experts
        changed.dense_layers = [i for i in range(spec.n_layers) if is_dense(i)]
        spec.experts = changed

    t.changes.append(choose)


def positive(config: ConfigJson, key: str, default: float | None = None) -> float:
    """A number above zero."""
    value = config.number(key, default)
    if value <= 0.0:
        raise config.error(key, f"is {value}, a number above zero was expected")
    return value
