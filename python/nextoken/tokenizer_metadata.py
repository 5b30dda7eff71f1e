"""What a GGUF file says about its tokenizer, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nextoken.errors import TokenizerError, UnsupportedModelError
from nextoken.pretokenizers import ADD_BOS, PRE_TOKENIZERS, WHOLE_WORDS

if TYPE_CHECKING:
    from nextoken import _native

PREFIX = "tokenizer.ggml."

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

    model: str  # "gpt2": byte-level BPE, "llama": SentencePiece BPE
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
    form: str = ""  # Unicode normal form that text is brought to, "NFC" and so on
    edges: tuple[tuple[int, int], ...] = ()  # of special tokens: see Edge in csrc/tokenizer/tokenizer.h
    end_names: tuple[str, ...] = END_NAMES  # of control tokens that end an answer, if the vocabulary has them


@dataclass(frozen=True)
class VocabularyData:
    """The vocabulary as the file has it, `kinds` and `scores` with one entry a token."""

    tokens: list[bytes] | _native.Strings
    kinds: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32] | None
    merges: list[bytes] | _native.Strings | None


def read_metadata(file: _native.GGUFFile) -> tuple[Options, VocabularyData]:
    """Read `tokenizer.*` of a file.

    Raises TokenizerError, naming the field, if there is no tokenizer or it is damaged; UnsupportedModelError for a
    kind of tokenizer or a pre-tokenizer that is not known.
    """
    model = _get(file, "model", str)
    if model is None or model in ("none", "no_vocab"):
        raise TokenizerError("the file has no tokenizer (tokenizer.ggml.model); only token ids can be used")
    if model not in ("gpt2", "llama"):
        raise UnsupportedModelError(
            f"tokenizer.ggml.model is {_short(model)}; this version knows 'gpt2' (byte-level BPE) and 'llama' "
            "(SentencePiece BPE)"
        )
    byte_level, pre = model == "gpt2", _get(file, "pre", str)
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

    # SentencePiece models of the Llama family leave these out; byte-level ones have no common default.
    bos_id = special("bos_token_id", None if byte_level else 1)
    eos_id = special("eos_token_id", None if byte_level else 2)
    ends = (eos_id, special("eot_token_id"), special("eom_token_id"))
    options = Options(
        model=model,
        patterns=_patterns(file) if byte_level else (),
        space_prefix="every_start" if _flag(file, "add_space_prefix", not byte_level) else "none",
        add_bos=_flag(file, "add_bos_token", pre in ADD_BOS if byte_level else True),
        add_eos=_flag(file, "add_eos_token", False),
        bos_id=bos_id,
        eos_id=eos_id,
        unk_id=special("unknown_token_id", None if byte_level else 0),
        pad_id=special("padding_token_id"),
        end_ids=frozenset(i for i in ends if i is not None),
        chat_template=_chat_template(file),
        whole_words=byte_level and pre in WHOLE_WORDS,
    )
    for flag, name, token_id in (("bos", "bos", bos_id), ("eos", "eos", eos_id)):
        if getattr(options, f"add_{flag}") and token_id is None:
            raise TokenizerError(f"{PREFIX}add_{flag}_token is true but there is no {PREFIX}{name}_token_id")
    return options, vocabulary


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
