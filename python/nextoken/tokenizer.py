"""Text to token ids and back.

    tokenizer = llm.tokenizer
    ids = tokenizer.encode("Hello")     # ids as llama.cpp has them
    tokenizer.decode(ids)               # "Hello"

The work is native (`csrc/tokenizer`), immutable and safe in many threads: a vocabulary of 262,144 tokens is built in
some tens of milliseconds and takes about 6 MB, and no text makes it slow. Text never becomes a control token unless
`parse_special=True` is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from nextoken import _native
from nextoken.inputs import check_ids
from nextoken.normalizer import Normalizer
from nextoken.text import StreamDecoder
from nextoken.tokenizer_metadata import MODELS, Options, VocabularyData, read_metadata

if TYPE_CHECKING:
    import numpy.typing as npt

    Ids = Iterable[int] | npt.NDArray[np.integer[Any]]

UNKNOWN, CONTROL = 2, 3  # kinds of token, as GGUF numbers them


def tokenizer_from_gguf(file: _native.GGUFFile) -> Tokenizer:
    """The tokenizer that a GGUF file carries.

    Raises TokenizerError, naming the field, if there is none or it is damaged; UnsupportedModelError for a kind of
    tokenizer or a pre-tokenizer that this version does not know.
    """
    return Tokenizer(*read_metadata(file))


class Tokenizer:
    """A model's vocabulary and the rules to spell text with it. Immutable; compares and pickles by content."""

    def __init__(self, options: Options, vocabulary: VocabularyData) -> None:
        """Build from what `read_metadata` returns. Raises TokenizerError for a vocabulary that makes no sense."""
        self._options = options
        names = list(options.end_names)
        if options.model == "gpt2":
            merges = vocabulary.merges or []
            self._native: _native.Tokenizer = _native.ByteLevelTokenizer(
                vocabulary.tokens,
                vocabulary.kinds,
                names,
                merges,
                list(options.patterns),
                options.whole_words,
            )
        elif options.model == "unigram":
            assert vocabulary.scores is not None
            self._native = _native.UnigramTokenizer(
                vocabulary.tokens,
                vocabulary.kinds,
                names,
                vocabulary.scores.astype(np.float64),
                options.space_prefix,
                -1 if options.unk_id is None else options.unk_id,
                options.sums,
            )
        else:
            self._native = _native.SentencePieceTokenizer(
                vocabulary.tokens,
                vocabulary.kinds,
                names,
                vocabulary.scores,
                vocabulary.merges,
                options.space_prefix,
                -1 if options.unk_id is None else options.unk_id,
            )
        self._normalizer = Normalizer(options.steps) if options.steps else None
        for token_id, edges in options.edges:
            self._native.set_edges(token_id, edges)
        named = (self._native.find(name.encode()) for name in names)
        self._eos_ids = options.end_ids | {token_id for token_id in named if token_id >= 0}

    def encode(self, text: str, add_special_tokens: bool = True, parse_special: bool = False) -> list[int]:
        """The token ids of `text`.

        `add_special_tokens` adds BOS and EOS where the model wants them. `parse_special` turns the name of a control
        token ("<|im_end|>") into that token; without it, names are text like any other.

        Raises TypeError if `text` is not str; ValueError for a lone surrogate, with its position.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be str, not {type(text).__name__}")
        ids = self._encode(text, parse_special)
        if add_special_tokens:
            if self._options.add_bos and self._options.bos_id is not None:
                ids.insert(0, self._options.bos_id)
            if self._options.add_eos and self._options.eos_id is not None:
                ids.append(self._options.eos_id)
        return ids

    def decode(self, ids: Ids, skip_special_tokens: bool = False) -> str:
        """The text of `ids`, bytes that are no UTF-8 as U+FFFD; without control tokens if `skip_special_tokens`.

        Where encoding puts a space before the text (`space_prefix`), one space at the start is taken away.
        Raises ValueError for an id that is not in the vocabulary, TypeError for one that is not a whole number.
        """
        raw = self.decode_bytes(ids, skip_special_tokens)
        if self._options.space_prefix != "none" and raw.startswith(b" "):
            raw = raw[1:]
        return raw.decode("utf-8", "replace")

    def decode_bytes(self, ids: Ids, skip_special_tokens: bool = False) -> bytes:
        """The bytes of `ids` joined, nothing lost: what the tokens' bytes are one by one. Raises as `decode` does."""
        if isinstance(ids, Iterable) and not isinstance(ids, (Sequence, np.ndarray)):
            ids = list(ids)
        return self._native.decode(check_ids(ids, len(self), what="ids").tolist(), skip_special_tokens)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token: part of a character, perhaps; the name of a control token. Raises as `decode`."""
        try:
            return self._native.token_bytes(token_id)
        except TypeError:
            check_ids([token_id], len(self), what="ids")
            raise

    def stream_decoder(self, *, skip_special_tokens: bool = False) -> StreamDecoder:
        """A decoder for ids that come one by one, whose text goes on from text before it."""
        return StreamDecoder(self, skip_special_tokens=skip_special_tokens)

    @overload
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        tokenize: Literal[True] = True,
        **variables: Any,
    ) -> list[int]: ...
    @overload
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        tokenize: Literal[False],
        **variables: Any,
    ) -> str: ...
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        tokenize: bool = True,
        **variables: Any,
    ) -> list[int] | str:
        """A conversation worded by the model's own template, as ids or (`tokenize=False`) as text.

        Only the template's own text becomes control tokens: their names in what people wrote stay text.
        `variables` are more names for the template to use. Raises ChatTemplateError if there is no template or it
        fails, ValueError and TypeError (naming the message) for messages that are none.
        """
        from nextoken import chat  # with jinja2 behind it, which only conversations need

        names = {
            "bos_token": self._name(self.bos_id),
            "eos_token": self._name(self.eos_id),
            "tools": tools,
            **variables,
        }
        template = self._options.chat_template
        if tokenize:
            return chat.encode_chat(
                self, template, messages, add_generation_prompt=add_generation_prompt, **names
            )
        return chat.render_chat(template, messages, add_generation_prompt=add_generation_prompt, **names)

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True
    ) -> list[int]:
        """The ids of a conversation, ready for the model to answer."""
        return self.apply_chat_template(messages, add_generation_prompt)

    def encode_rendered(self, text: str, mark: str) -> list[int]:
        """Ids of text in which the names of control tokens count, but for those broken by a `mark`, which vanishes."""
        return (
            self._encode(text, True) if mark not in text else self._encode_parts(text, "control", True, mark)
        )

    def _encode(self, text: str, parse_special: bool, starts: bool = True) -> list[int]:
        if self._normalizer is None:
            return self._native.encode(_utf8(text), parse_special, starts)
        if self._options.tokens_first:
            return self._encode_parts(text, "all" if parse_special else "user_defined", starts)
        if parse_special:  # names are looked for in text as it was written
            return self._encode_parts(text, "control", starts)
        return self._encode_normal(text, starts)

    def _encode_normal(self, text: str, starts: bool) -> list[int]:
        assert self._normalizer is not None
        _utf8(text)  # refuses half of a surrogate pair, which the normalizer might drop
        return self._native.encode(self._normalizer(text).encode(), False, starts)

    def _encode_parts(self, text: str, tokens: str, starts: bool, mark: str = "") -> list[int]:
        """Special tokens, and between them text by itself, without any `mark`."""
        ids: list[int] = []
        utf8, plain = _utf8(text), 0
        for begin, end, token_id in [
            *self._native.special_spans(utf8, tokens, True),
            (len(utf8), len(utf8), None),
        ]:
            part, first = utf8[plain:begin].decode(), starts and plain == 0
            if tokens == "control" and (self._options.tokens_first or self._normalizer is None):
                ids += self._encode(part.replace(mark, "") if mark else part, False, first)
            else:
                ids += self._encode_normal(part.replace(mark, "") if mark else part, first)
            if token_id is not None:
                ids.append(token_id)
            plain = end
        return ids

    def break_control_names(self, text: str, mark: str) -> str:
        """`text` with a `mark` inside each name of a control token, and at the end if one may begin there."""
        utf8, marked = _utf8(text), mark.encode()
        while spans := self._native.special_spans(utf8, "control"):
            parts, done = [], 0
            for begin, _, _ in spans:
                after = begin + len(utf8[begin : begin + 4].decode("utf-8", "ignore")[0].encode())
                parts += [utf8[done:after], marked]
                done = after
            utf8 = b"".join([*parts, utf8[done:]])
        for begin in range(max(0, len(utf8) - 256), len(utf8)):
            if self._native.begins_control(utf8[begin:]):
                return (utf8 + marked).decode()
        return utf8.decode()

    def is_special(self, token_id: int) -> bool:
        """Whether the token is a control token or the unknown token, no part of any text. Raises as `decode`."""
        return self._native.kind(int(check_ids([token_id], len(self), what="ids")[0])) in (UNKNOWN, CONTROL)

    def __len__(self) -> int:
        return len(self._native)

    @property
    def vocab_size(self) -> int:
        """Number of tokens. The model's logits may be wider: the rest is padding."""
        return len(self._native)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if the model has one."""
        return self._options.bos_id

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text, if the model has one."""
        return self._options.eos_id

    @property
    def unk_id(self) -> int | None:
        """The token for what the vocabulary can not spell, if the model has one."""
        return self._options.unk_id

    @property
    def pad_id(self) -> int | None:
        """The token that fills up rows, if the model has one."""
        return self._options.pad_id

    @property
    def eos_ids(self) -> frozenset[int]:
        """All tokens that end an answer: of sequence, of turn, of message."""
        return self._eos_ids

    @property
    def chat_template(self) -> str | None:
        """The model's template in Jinja, if it has one."""
        return self._options.chat_template

    @property
    def missing_bytes(self) -> frozenset[int]:
        """Bytes that no token of a byte-level vocabulary spells; they vanish from text (SmolLM2 lacks a few)."""
        if isinstance(self._native, _native.ByteLevelTokenizer):
            return frozenset(self._native.missing_bytes())
        return frozenset()

    def _name(self, token_id: int | None) -> str:
        return "" if token_id is None else self.token_bytes(token_id).decode("utf-8", "replace")

    def _content(self) -> tuple[Options, VocabularyData]:
        native = self._native
        scored = (_native.SentencePieceTokenizer, _native.UnigramTokenizer)
        merging = (_native.ByteLevelTokenizer, _native.SentencePieceTokenizer)
        scores = native.scores() if isinstance(native, scored) else None
        merges = native.merges() if isinstance(native, merging) else None
        return self._options, VocabularyData(native.texts(), native.kinds(), scores, merges)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, self._content()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        if self is other:
            return True
        (options, mine), (other_options, theirs) = self._content(), other._content()
        return (
            options == other_options
            and mine.tokens == theirs.tokens
            and mine.merges == theirs.merges
            and mine.kinds.tobytes() == theirs.kinds.tobytes()
            and (
                mine.scores is None
                or theirs.scores is None
                or mine.scores.tobytes() == theirs.scores.tobytes()
            )
        )

    def __hash__(self) -> int:
        return hash((self._options, len(self)))

    def __repr__(self) -> str:
        return f"<Tokenizer {MODELS[self._options.model]}, {len(self)} tokens>"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise ValueError(
            f"text holds the lone surrogate U+{code:04X} at position {error.start}, which is no character"
        ) from None
