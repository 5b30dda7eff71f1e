"""config.json of a Hugging Face folder, and which of its keys were read: an ignored one may change the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nextoken.checkpoints.gguf import shortened
from nextoken.errors import ModelFormatError, UnsupportedModelError
from nextoken.log import log

# Keys that say nothing about the arithmetic: training, bookkeeping, and what other files say again. `auto_map` names
# code that comes with a model; it is never run.
MOST = 1 << 53  # JSON's integers have no end; beyond this not even their doubles are exact
HARMLESS = frozenset({
    "_attn_implementation_autoset", "_name_or_path", "architectures", "attention_dropout", "auto_map", "bos_token_id",
    "cache_implementation", "chunk_size_feed_forward", "decoder_start_token_id", "dtype", "embd_pdrop",
    "eos_token_id", "finetuning_task", "forced_eos_token_id", "id2label", "initializer_range", "label2id",
    "model_type", "output_attentions", "output_hidden_states", "pad_token_id", "prefix", "pretraining_tp",
    "output_router_logits", "problem_type", "resid_pdrop", "return_dict", "router_aux_loss_coef", "router_jitter_noise",
    "sep_token_id", "tokenizer_class", "torch_dtype", "transformers_version", "unsloth_version", "use_cache",
    "use_return_dict", "attn_pdrop", "classifier_dropout", "dropout", "emb_pdrop", "embedding_dropout",
    "gradient_checkpointing", "hidden_dropout", "init_std", "is_decoder", "layerdrop", "residual_dropout",
    "task_specific_params", "unk_token_id",
})  # fmt: skip


class ConfigJson:
    """The keys of one object of config.json; `prefix` is where in the file it stands."""

    def __init__(
        self, values: Mapping[str, Any], path: str, prefix: str = "", *, allow_unused: bool = False
    ) -> None:
        self.allow_unused = allow_unused
        self._values = values
        self.path = path
        self._prefix = prefix
        self._read: set[str] = set()
        self._others: Mapping[str, str] = {}

    def call(self, **others: str) -> None:
        """Other names that a family has for keys: `hidden_size="n_embd"`. Where both are there the usual one holds."""
        self._others = others

    def name(self, key: str) -> str:
        """What a key is called in this file."""
        other = self._others.get(key, key)
        return key if key in self._values or other not in self._values else other

    def ignore(self, *keys: str) -> None:
        """Keys that change nothing in this family."""
        self._read.update(keys)

    def names(self) -> list[str]:
        """Keys with a value."""
        return [key for key, value in self._values.items() if value is not None]

    def has(self, key: str) -> bool:
        """Whether the key is there with a value; null says nothing."""
        key = self.name(key)
        self._read.add(key)
        return self._values.get(key) is not None

    def is_null(self, key: str) -> bool:
        """Whether the key is there and says null, which for some keys is not the default."""
        key = self.name(key)
        self._read.add(key)
        return key in self._values and self._values[key] is None

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._get(key, default)
        if type(value) is not int or abs(value) > MOST:
            raise self.error(key, f"is {_shown(value)}, an integer was expected")
        if not -(1 << 63) <= value < 1 << 63:
            raise self.error(key, f"is {_shown(value)}, which is out of range")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        if (
            type(value) not in (int, float)
            or (type(value) is int and abs(value) > MOST)
            or not math.isfinite(value)
        ):
            raise self.error(key, f"is {_shown(value)}, a number was expected")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"is {_shown(value)}, true or false was expected")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"is {_shown(value)}, a string was expected")
        return value

    def items(self, key: str) -> list[Any]:
        value = self._get(key, None)
        if not isinstance(value, list):
            raise self.error(key, f"is {_shown(value)}, a list was expected")
        return value

    def texts(self, key: str) -> list[str]:
        value = self.items(key)
        if not all(isinstance(v, str) for v in value):
            raise self.error(key, f"is {_shown(value)}, a list of strings was expected")
        return value

    def part(self, key: str) -> ConfigJson:
        """The object under a key; an empty one if there is none."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"is {_shown(value)}, an object was expected")
        return ConfigJson(value, self.path, f"{self._prefix}{key}.", allow_unused=self.allow_unused)

    def only(self, key: str, applied: Sequence[Any], default: Any) -> Any:
        """One of the values this version applies; UnsupportedModelError for another. null is None."""
        key = self.name(key)
        self._read.add(key)
        value = self._values.get(key, default)
        if not any(value is a or (type(value) is type(a) and value == a) for a in applied):
            raise UnsupportedModelError(
                f"{self.path}: {self._prefix}{key} is {_shown(value)}, this version applies "
                f"{', '.join(map(_shown, applied))}"
            )
        return value

    def require_all_read(self, harmless: frozenset[str] = frozenset()) -> None:
        """Raises UnsupportedModelError, naming it, for a key with a value that no one has asked for.

        With `allow_unused` it is a warning.
        """
        for key, value in self._values.items():
            if key in self._read or key in harmless or value is None:
                continue
            what = f"{self.path}: {self._prefix}{shortened(key)} is not applied by this version"
            if not self.allow_unused:
                raise UnsupportedModelError(
                    f"{what}, and leaving it out may change the answers (allow_unused=True does it all the same)"
                )
            log.warning("%s and left out", what)

    def error(self, key: str, message: str) -> ModelFormatError:
        """A ModelFormatError about a key, to raise."""
        name = self._prefix + self.name(key)
        return ModelFormatError(f"{self.path}: {name} {message}", path=self.path, field=name)

    def _get(self, key: str, default: Any) -> Any:
        value = self._values[self.name(key)] if self.has(key) else default
        if value is None:
            raise self.error(key, "is missing")
        return value


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 64 else text[:64] + "..."
