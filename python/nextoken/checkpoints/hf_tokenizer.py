"""The tokenizer of a Hugging Face folder: tokenizer.json, or tokenizer.model, and what stands beside them.

What our native tokenizers do exactly is read; anything else in tokenizer.json is refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.checkpoints import hf_sentencepiece
from nextoken.checkpoints.gguf import shortened
from nextoken.checkpoints.hf_bpe import BPEReader
from nextoken.checkpoints.hf_pieces import CONTROL, Pieces, TokenizerJSON
from nextoken.checkpoints.hf_unigram import UnigramReader
from nextoken.checkpoints.json_file import read_json
from nextoken.errors import ModelFormatError, TokenizerError, UnsupportedModelError
from nextoken.tokenizer import Tokenizer
from nextoken.tokenizer_metadata import END_NAMES, Options, VocabularyData

SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
MOST_TEMPLATE_BYTES = 4 << 20


def tokenizer_from_folder(folder: str, vocab_size: int) -> Tokenizer:
    """Build the tokenizer of a folder whose model has `vocab_size` tokens.

    Raises TokenizerError, naming the field, if there is none or it is damaged; UnsupportedModelError, naming the part,
    for what this version can not do exactly.
    """
    settings = _optional(folder, "tokenizer_config.json")
    if os.path.exists(path := os.path.join(folder, "tokenizer.json")):
        pieces = read_tokenizer_json(_json(path), path)
    elif os.path.exists(path := os.path.join(folder, "tokenizer.model")):
        pieces = hf_sentencepiece.read(path, settings)
    else:
        raise TokenizerError(f"{folder} has no tokenizer.json or tokenizer.model; only token ids can be used")
    if len(pieces.tokens) > vocab_size:
        raise TokenizerError(f"{path}: has {len(pieces.tokens)} tokens, the embedding {vocab_size} rows")
    ids = {text: i for i, text in reversed(list(enumerate(pieces.tokens)))}

    def special(name: str) -> int | None:
        value = settings.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if text is None:
            return pieces.special.get(name)
        if not isinstance(text, str) or text.encode() not in ids:
            raise TokenizerError(
                f"{folder}: {name} of tokenizer_config.json is {shortened(str(text))}, no token"
            )
        return ids[text.encode()]

    named = {name: special(name) for name in SPECIAL}
    for name in SPECIAL:  # whatever else the files say, no text becomes one of these
        token_id = named[name]
        if token_id is not None and pieces.kinds[token_id] == 1 and name != "unk_token":
            pieces.kinds[token_id] = CONTROL
    ends = {named["eos_token"], *_end_ids(folder, len(pieces.tokens))}
    options = Options(
        model=pieces.model,
        patterns=pieces.patterns,
        space_prefix=pieces.space_prefix,
        add_bos=_flag(settings, "add_bos_token", pieces.adds_bos),
        add_eos=_flag(settings, "add_eos_token", pieces.adds_eos),
        bos_id=named["bos_token"],
        eos_id=named["eos_token"],
        unk_id=named["unk_token"],
        pad_id=named["pad_token"],
        end_ids=frozenset(i for i in ends if i is not None),
        chat_template=_chat_template(folder, settings),
        whole_words=pieces.whole_words,
        steps=tuple(pieces.steps),
        tokens_first=pieces.tokens_first,
        sums=pieces.sums,
        edges=tuple(pieces.edges),
        end_names=tuple(
            n for n in END_NAMES if n.encode() in ids and pieces.kinds[ids[n.encode()]] == CONTROL
        ),
    )
    for name in ("bos", "eos"):
        if getattr(options, f"add_{name}") and getattr(options, f"{name}_id") is None:
            raise TokenizerError(f"{folder}: add_{name}_token is true but there is no {name}_token")
    kinds = np.array(pieces.kinds, np.uint8)
    scores: npt.NDArray[np.float32] | npt.NDArray[np.float64] | None = None
    if pieces.scores is not None and pieces.model == "unigram":
        scores = np.array(pieces.scores, np.float64)
    elif pieces.scores is not None:
        scores = np.array(pieces.scores, np.float32)
    vocabulary = VocabularyData(pieces.tokens, kinds, scores, pieces.merges)
    try:
        return Tokenizer(options, vocabulary)
    except TokenizerError:
        raise
    except ValueError as error:  # of a pattern
        raise UnsupportedModelError(f"{path}: pre_tokenizer: {error}") from None


def read_tokenizer_json(values: Mapping[str, Any], path: str) -> Pieces:
    """Raises TokenizerError, naming the field, for what is damaged; UnsupportedModelError for what is not known."""
    file = TokenizerJSON(values, path)
    model = file.object("model")
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind not in ("BPE", "Unigram"):
        raise file.unsupported("model.type", kind, "BPE and Unigram")
    for name in ("truncation", "padding"):
        if values.get(name) is not None:
            raise file.unsupported(name, values[name], "none")
    return BPEReader(values, path).read() if kind == "BPE" else UnigramReader(values, path).read()


def _end_ids(folder: str, n_tokens: int) -> set[int]:
    """Ids that end an answer, as generation_config.json and config.json say."""
    ends: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        value = _optional(folder, name).get("eos_token_id")
        for token_id in value if isinstance(value, list) else [value]:
            if token_id is None:
                continue
            if type(token_id) is not int or token_id < 0:
                raise TokenizerError(
                    f"{folder}: eos_token_id of {name} is {shortened(str(token_id))}, no token id"
                )
            if token_id < n_tokens:
                ends.add(token_id)
    return ends


def _chat_template(folder: str, settings: Mapping[str, Any]) -> str | None:
    path = os.path.join(folder, "chat_template.jinja")
    if os.path.exists(path):
        file = _native.File(os.fsencode(path))
        try:
            if file.size > MOST_TEMPLATE_BYTES:
                raise TokenizerError(
                    f"{path}: {file.size} bytes, more than the {MOST_TEMPLATE_BYTES} that are read"
                )
            return file.read(0, file.size, "file").decode("utf-8")
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{path}: is not UTF-8 at byte {error.start}") from None
        finally:
            file.close()
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, each with a name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    if template is not None and not isinstance(template, str):
        raise TokenizerError(f"{folder}: chat_template of tokenizer_config.json is no string")
    return template


def _flag(settings: Mapping[str, Any], name: str, default: bool) -> bool:
    value = settings.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise TokenizerError(f"{name} of tokenizer_config.json is {shortened(str(value))}, not true or false")
    return value


def _optional(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    return _json(path) if os.path.exists(path) else {}


def _json(path: str) -> dict[str, Any]:
    try:
        return read_json(path)
    except ModelFormatError as error:
        raise TokenizerError(str(error)) from None
