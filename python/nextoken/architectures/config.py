"""The hyper-parameters of a checkpoint, and which of them were read: what nobody read may change the arithmetic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nextoken._native import Spec
from nextoken.checkpoints.gguf import shortened
from nextoken.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from nextoken.checkpoints.gguf import GGUFCheckpoint


# Where a file says what the fields of a Spec hold.
KEYS = {
    "n_layers": "block_count",
    "n_ctx": "context_length",
    "hidden_size": "embedding_length",
    "ffn_size": "feed_forward_length",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "n_rot": "rope.dimension_count",
    "norm_eps": "attention.layer_norm_rms_epsilon",
    "attention_soft_cap": "attn_logit_softcapping",
    "logit_soft_cap": "final_logit_softcapping",
    "rope_theta": "rope.freq_base",
    "rope_factor": "rope.scaling.factor",
    "window": "attention.sliding_window",
    "chunk": "attention.sliding_window",
    "temperature_length": "attention.temperature_length",
    "temperature_scale": "attention.temperature_scale",
    "n_experts": "expert_count",
    "n_experts_used": "expert_used_count",
    "expert_ffn_size": "expert_feed_forward_length",
    "shared_ffn_size": "expert_shared_feed_forward_length",
    "n_expert_groups": "expert_group_count",
    "n_expert_groups_used": "expert_group_used_count",
    "expert_scale": "expert_weights_scale",
    "latent_rank": "attention.kv_lora_rank",
    "latent_q_rank": "attention.q_lora_rank",
    "nope_dim": "attention.key_length_mla",
    "value_dim": "attention.value_length_mla",
}


class Config:
    """Keys under the architecture's name. A value missing without a default, of another type or out of range raises
    ModelFormatError that names the key.
    """

    def __init__(self, checkpoint: GGUFCheckpoint, n_ctx: int | None = None) -> None:
        self._checkpoint = checkpoint
        self._n_ctx = n_ctx
        self._read: set[str] = set()
        self.roles: dict[str, str] = {}  # chosen by this file's hyper-parameters, beside the family's
        self.spare: set[str] = set()  # tensors for another n_ctx

    def n_ctx(self, trained: int) -> int:
        """The context the model is loaded for."""
        return trained if self._n_ctx is None else self._n_ctx

    def integer(self, name: str, default: int | None = None, *, lo: int = 0, hi: int | None = None) -> int:
        """An integer with lo <= value <= hi."""
        key = self._key(name)
        if default is not None:
            return self._checkpoint.get_int(key, default, lo, hi)
        return self._checkpoint.need_int(key, lo, hi)

    def positive(self, name: str, default: float | None = None) -> float:
        """A finite float above zero."""
        key = self._key(name)
        if default is not None:
            return self._checkpoint.get_float(key, default, above=0.0)
        return self._checkpoint.need_float(key, above=0.0)

    def at_least_zero(self, name: str) -> float:
        """A finite float from zero on; 0.0 if it is missing."""
        return self._checkpoint.get_float(self._key(name), 0.0, lo=0.0)

    def soft_cap(self, name: str) -> float:
        """A finite float above zero; 0.0, which stands for no cap, if it is missing."""
        return self._checkpoint.get_float(self._key(name), 0.0, above=0.0)

    def boolean(self, name: str, default: bool) -> bool:
        """True or false."""
        return self._checkpoint.get_bool(self._key(name), default)

    def slides(self, name: str, every: int, n_layers: int) -> list[bool]:
        """Which layers have a sliding window: a list in the file, or all but the last of every so many."""
        key = self._key(name)
        metadata = self._checkpoint.metadata
        if key in metadata and metadata.kind(key).startswith("arr["):
            return [value == 1 for value in self._checkpoint.need_ints(key, n_layers, 0, 1)]
        every = self._checkpoint.get_int(key, every, 1, None)
        return [(i + 1) % every != 0 for i in range(n_layers)]

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """One of the strings in `choices`; UnsupportedModelError, naming the key, for another."""
        key = self._key(name)
        value = self._checkpoint.get_str(key, default)
        if value not in choices:
            raise UnsupportedModelError(
                f"{self._checkpoint.path}: {key} is {shortened(value)}, this version applies {', '.join(choices)}"
            )
        return value

    def rows_of(self, tensor: str) -> int:
        """How many rows a matrix has."""
        shape = self._checkpoint.need_tensor(tensor).shape
        return shape[1] if len(shape) > 1 else 1

    def has(self, name: str) -> bool:
        """Whether the file says anything about that."""
        return self._checkpoint.hparam_key(name) in self._checkpoint.metadata

    def has_tensor(self, name: str) -> bool:
        """Whether the file has that tensor."""
        return name in self._checkpoint.tensors

    def plays(self, role: str, tensor: str) -> None:
        """Give a role to a tensor that the family's list can not name."""
        self.roles[role] = tensor

    def spares(self, *tensors: str) -> None:
        """Tensors that may stay unused."""
        self.spare.update(tensors)

    def spares_layers(self, first: int) -> None:
        """So may the tensors of layers from `first` on."""
        for name in self._checkpoint.tensors:
            layer = re.match(r"blk\.(\d{1,9})\.", name)
            if layer and int(layer[1]) >= first:
                self.spare.add(name)

    def unread(self) -> list[str]:
        """Names of hyper-parameters in the file that no one has asked for."""
        prefix = self._key("")
        names = [key[len(prefix) :] for key in self._checkpoint.metadata if key.startswith(prefix)]
        return [name for name in names if name not in self._read]

    def validate(self, spec: Spec) -> None:
        """Raise ModelFormatError, naming the key, if the numbers fit no decoder."""
        try:
            spec.validate()
        except ModelFormatError as error:
            field = error.field or ""
            key = self._checkpoint.hparam_key(KEYS[field]) if field in KEYS else field
            raise self._checkpoint.error(key, f"does not fit: {error}") from None

    def _key(self, name: str) -> str:
        self._read.add(name)
        return self._checkpoint.hparam_key(name)
