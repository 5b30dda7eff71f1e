"""What a GGUF file says about its tokenizer, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nextoken.errors import TokenizerError, UnsupportedModelError
from nextoken.normalizer import Step
from nextoken.pretokenizers import ADD_BOS, PRE_TOKENIZERS, WHOLE_WORDS

if TYPE_CHECKING:
    from nextoken import _native

PREFIX = "tokenizer.ggml."
MODELS = {"gpt2": "byte-level BPE", "llama": "SentencePiece BPE", "unigram": "SentencePiece Unigram"}
GGUF_MODELS = {"gpt2": "gpt2", "llama": "llama", "t5": "unigram"}

# Tokens that end an answer whatever the file declares: converters forget to say so. llama.cpp has the same list and,
# like it, takes them for control tokens even where the file does not (Gemma's "</s>" is one such).
END_NAMES = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "</s>",
    "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """All of a tokenizer but its vocabulary."""

    model: str  # of MODELS
    patterns: tuple[str, ...]
    space_prefix: str  # "none", "every_start" and so on: see csrc/tokenizer/tokenizer.h
    add_bos: bool
    add_eos: bool
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None
    pad_id: int | None
    end_ids: frozenset[int]  # declared: end of sequence, of turn, of message
    chat_template: str | None
    whole_words: bool = False  # of a byte-level one: a word that is a token is not merged
    steps: tuple[Step, ...] = ()  # what is done to text before: see nextoken/normalizer.py
    tokens_first: bool = False  # user-defined tokens are looked for in text as it was written
    sums: str = ""  # of Unigram: see csrc/tokenizer/unigram.h
    edges: tuple[tuple[int, int], ...] = ()  # of special tokens: see Edge in csrc/tokenizer/tokenizer.h
    end_names: tuple[str, ...] = END_NAMES  # of control tokens that end an answer, if the vocabulary has them


@dataclass(frozen=True)
class VocabularyData:
    """The vocabulary as the file has it, `kinds` and `scores` with one entry a token."""

    tokens: list[bytes] | _native.Strings
    kinds: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32] | npt.NDArray[np.float64] | None
    merges: list[bytes] | _native.Strings | None


def read_metadata(file: _native.GGUFFile) -> tuple[Options, VocabularyData]:
    """Read `tokenizer.*` of a file.

    Raises TokenizerError, naming the field, if there is no tokenizer or it is damaged; UnsupportedModelError for a
    kind of tokenizer or a pre-tokenizer that is not known.
    """
    model = _get(file, "model", str)
    if model is None or model in ("none", "no_vocab"):
        raise TokenizerError("the file has no tokenizer (tokenizer.ggml.model); only token ids can be used")
    if model not in GGUF_MODELS:
        known = ", ".join(f"{name!r} ({MODELS[kind]})" for name, kind in GGUF_MODELS.items())
        raise UnsupportedModelError(f"tokenizer.ggml.model is {_short(model)}; this version knows {known}")
    model, pre = GGUF_MODELS[model], _get(file, "pre", str)
    byte_level, unigram = model == "gpt2", model == "unigram"
    vocabulary = VocabularyData(
        tokens := _strings(file, "tokens"),
        _kinds(file, len(tokens)),
        None if byte_level else _numbers(file, "scores", len(tokens), "f4", "f32"),
        _strings(file, "merges") if byte_level else None,
    )

    def special(name: str, default: int | None = None) -> int | None:
        found = _get(file, name, int)
        token_id = default if found is None else found
        if token_id is not None and not 0 <= token_id < len(tokens):
            origin = "" if found is not None else ", which is what it means where the file does not say"
            raise TokenizerError(
                f"{PREFIX}{name} is {token_id}{origin}; the vocabulary has ids 0 to {len(tokens) - 1}"
            )
        return token_id

    # SentencePiece models of the Llama and T5 families leave these out; byte-level ones have no common default.
    bos, eos, unk, pad = {"gpt2": (None,) * 4, "llama": (1, 2, 0, None), "unigram": (None, 1, 2, 0)}[model]
    bos_id, eos_id = special("bos_token_id", bos), special("eos_token_id", eos)
    ends = (eos_id, special("eot_token_id"), special("eom_token_id"))
    options = Options(
        model=model,
        patterns=_patterns(file) if byte_level else (),
        space_prefix="every_start" if _flag(file, "add_space_prefix", not byte_level) else "none",
        add_bos=_flag(file, "add_bos_token", pre in ADD_BOS if byte_level else not unigram),
        add_eos=_flag(file, "add_eos_token", unigram),
        bos_id=bos_id,
        eos_id=eos_id,
        unk_id=special("unknown_token_id", unk),
        pad_id=special("padding_token_id", pad),
        end_ids=frozenset(i for i in ends if i is not None),
        chat_template=_chat_template(file),
        whole_words=byte_level and pre in WHOLE_WORDS,
        steps=_steps(file) if unigram else (),
        tokens_first=unigram,
        sums="doubles" if unigram else "",
    )
    for flag, name, token_id in (("bos", "bos", bos_id), ("eos", "eos", eos_id)):
        if getattr(options, f"add_{flag}") and token_id is None:
            raise TokenizerError(f"{PREFIX}add_{flag}_token is true but there is no {PREFIX}{name}_token_id")
    return options, vocabulary


def _steps(file: _native.GGUFFile) -> tuple[Step, ...]:
    """What a Unigram model does to text before."""
    if _flag(file, "treat_whitespace_as_suffix", False):
        raise UnsupportedModelError(f"{PREFIX}treat_whitespace_as_suffix is true, this version knows false")
    steps: list[Step] = []
    blob = file.get(key := PREFIX + "precompiled_charsmap")
    if blob is not None:
        if not isinstance(blob, np.ndarray) or blob.dtype not in (np.uint8, np.int8):
            raise TokenizerError(f"{key} is of type {file.kind(key)}, not arr[u8]")
        steps.append(("charsmap", blob.tobytes(), "longest"))
    if _flag(file, "remove_extra_whitespaces", False):
        steps.append(("spaces",))
    return tuple(steps)


def _patterns(file: _native.GGUFFile) -> tuple[str, ...]:
    name = _get(file, "pre", str)
    if name in PRE_TOKENIZERS:
        return PRE_TOKENIZERS[name]
    # llama.cpp falls back to a default that few models were trained with: wrong ids, in silence.
    known = ", ".join(repr(n) for n in sorted(PRE_TOKENIZERS))
    found = "missing" if name is None else _short(name)
    raise UnsupportedModelError(
        f"the pre-tokenizer tokenizer.ggml.pre is {found}; this version knows {known}"
    )


def _kinds(file: _native.GGUFFile, n: int) -> npt.NDArray[np.uint8]:
    if file.get(PREFIX + "token_type") is None:
        return np.ones(n, np.uint8)
    kinds = _numbers(file, "token_type", n, "i4", "i32")
    if n and not (kinds.min() >= 0 and kinds.max() <= 6):
        raise TokenizerError(
            f"{PREFIX}token_type holds {kinds.min()} to {kinds.max()}; kinds of token are 0 to 6"
        )
    return kinds.astype(np.uint8)


def _chat_template(file: _native.GGUFFile) -> str | None:
    template = file.get("tokenizer.chat_template")
    if template is not None and not isinstance(template, str):
        raise TokenizerError("tokenizer.chat_template is not a string")
    return template


def _get(file: _native.GGUFFile, name: str, kind: type) -> Any:
    value = file.get(PREFIX + name)
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        expected = {str: "a string", int: "a whole number", bool: "true or false"}[kind]
        raise TokenizerError(f"{PREFIX}{name} is of type {file.kind(PREFIX + name)}, not {expected}")
    return value


def _flag(file: _native.GGUFFile, name: str, default: bool) -> bool:
    value: bool | None = _get(file, name, bool)
    return default if value is None else value


def _strings(file: _native.GGUFFile, name: str) -> _native.Strings:
    key = PREFIX + name
    if key not in file.keys():  # noqa: SIM118  not a mapping
        raise TokenizerError(f"{key} is missing")
    if file.kind(key) != "arr[str]":
        raise TokenizerError(f"{key} is of type {file.kind(key)}, not an array of strings")
    strings = file.strings(key)
    if len(strings) == 0 and name == "tokens":
        raise TokenizerError(f"{key} is empty")
    return strings


def _numbers(file: _native.GGUFFile, name: str, n: int, dtype: str, type_name: str) -> npt.NDArray[Any]:
    key = PREFIX + name
    value = file.get(key)
    if value is None:
        raise TokenizerError(f"{key} is missing")
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype("<" + dtype):
        raise TokenizerError(f"{key} is of type {file.kind(key)}, not arr[{type_name}]")
    if len(value) != n:
        raise TokenizerError(f"{key} has {len(value)} entries; {PREFIX}tokens has {n}")
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:64] + "...")
