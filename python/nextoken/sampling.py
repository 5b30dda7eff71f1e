"""How the next token is chosen: the parameters, checked in one place for every way in."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from nextoken import _native
from nextoken.sampling_checks import CHECKS

_Class = TypeVar("_Class", bound=type)


def _random_seed() -> int:
    return int.from_bytes(os.urandom(8), "little")


def _checks_keywords(cls: _Class) -> _Class:
    """Let a dataclass take `max_new_tokens` for `max_tokens`, and answer an unknown keyword with a suggestion."""
    init: Callable[..., None] = cls.__init__  # type: ignore[misc]
    known = {field.name for field in fields(cls)}

    @functools.wraps(init)
    def checked(self: object, **keywords: Any) -> None:
        if "max_new_tokens" in keywords:
            if "max_tokens" in keywords:
                raise TypeError("max_new_tokens is another name of max_tokens: give one of them")
            keywords["max_tokens"] = keywords.pop("max_new_tokens")
        for name in keywords.keys() - known:
            import difflib  # rarely needed

            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
            raise TypeError(f"unknown sampling parameter {name!r}: {hint}")
        init(self, **keywords)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


@_checks_keywords
@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How tokens are chosen, when to stop, and what to report.

    Raises TypeError for a value of the wrong kind and ValueError for one out of range, both naming the field. A bool
    is no number; NumPy integers and floats are. None stands for the default of every field. `max_new_tokens` is
    accepted for `max_tokens`.

    The stages act in this order: allowed_token_ids, logit_bias, repetition_penalty, presence_penalty and
    frequency_penalty, temperature, top_k, typical_p, top_p, min_p, draw. No filter removes the last candidate.

    >>> SamplingParams(temperature=0.7, top_p=0.9, seed=1).temperature
    0.7
    """

    max_tokens: int | None = None
    """At most so many tokens; None goes on until EOS or the end of the context."""
    temperature: float = 0.0
    """0 (and anything below 1e-5) takes the likeliest token, on ties the one with the lowest id."""
    top_k: int = 0
    """Keep the k likeliest; 0 and -1 keep all."""
    top_p: float = 1.0
    """Keep the fewest likeliest whose probabilities sum to at least p, 0 < p <= 1."""
    min_p: float = 0.0
    """Keep those at least p times as likely as the likeliest."""
    typical_p: float = 1.0
    """Keep those whose information is closest to the entropy, until their probabilities sum to at least p."""
    repetition_penalty: float = 1.0
    """Tokens of prompt and answer: positive logits are divided by this, others multiplied. Above 0."""
    presence_penalty: float = 0.0
    """Subtracted from the logits of tokens in the answer, -2 to 2."""
    frequency_penalty: float = 0.0
    """Subtracted from the logits of tokens in the answer, times how often they stand there, -2 to 2."""
    stop: str | Sequence[str] | None = None
    """Text that ends the answer; kept as a tuple. It is no part of the answer unless `include_stop`."""
    stop_token_ids: Iterable[int] | None = None
    """Tokens that end the answer, like EOS; kept as a tuple."""
    include_stop: bool = False
    """Leave the token or text that ended the answer in it."""
    ignore_eos: bool = False
    """Go on after the model's own end."""
    seed: int | None = None
    """Any integer, taken modulo 2^64. None is another one for each prompt, which its Completion reports."""
    logprobs: int | None = None
    """Report the log-probability of each token, and those of the so many best candidates."""
    prompt_logprobs: int | None = None
    """The same for the tokens of the prompt."""
    logit_bias: Mapping[int, float] | None = None
    """Added to the logits of these ids, cut to -100..100; kept as a dict."""
    allowed_token_ids: Iterable[int] | None = None
    """Only these can be chosen; kept as a tuple."""
    n: int = 1
    """Answers to each prompt, 1 to 128."""
    logits_processor: Callable[..., Any] | None = None
    """Called with the ids so far and the logits before each choice; returns the logits to choose from."""
    use_cache: bool = True
    """False computes the whole prefix anew for each token: as slow as it sounds, and the same bits."""
    profile: bool = False
    """Fill `timings.prefill_ops` and `.decode_ops`: where the time of the passes went. Costs about 1 %."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not field.default:
                value = field.default if value is None else CHECKS[field.name](field.name, value)
                object.__setattr__(self, field.name, value)

    @classmethod
    def build(cls, params: SamplingParams | None = None, /, **keywords: Any) -> SamplingParams:
        """The parameters of one call: those given, or made from keywords.

        Raises TypeError if both are given, or for an unknown keyword.
        """
        if params is None:
            params = cls(**keywords)
        elif not isinstance(params, SamplingParams):
            raise TypeError(f"expected SamplingParams, got {type(params).__name__}")
        elif keywords:
            raise TypeError(
                f"got SamplingParams and keywords ({', '.join(sorted(keywords))}): give one of them"
            )
        return params

    def seeded(self) -> SamplingParams:
        """These, with a seed drawn if there is none."""
        if self.seed is not None:
            return self
        seeded = copy.copy(self)
        object.__setattr__(seeded, "seed", _random_seed())
        return seeded

    def check_vocab(self, vocab_size: int) -> None:
        """Raise ValueError if a field holds a token id that a vocabulary of this size does not have."""
        for name in ("stop_token_ids", "logit_bias", "allowed_token_ids"):
            outside = max(getattr(self, name) or (), default=-1)
            if outside >= vocab_size:
                raise ValueError(f"{name}: token id {outside} is not in the vocabulary of {vocab_size}")

    def sampler(
        self, vocab_size: int, *, n_decodable: int | None = None, sequence: int = 0, isa: str | None = None
    ) -> _native.Sampler:
        """The native sampler of one answer; `sequence` tells apart answers that share a seed.

        Ids from `n_decodable` up are never chosen. Raises ValueError as check_vocab.
        """
        self.check_vocab(vocab_size)
        return _native.Sampler(
            vocab_size=vocab_size,
            n_decodable=n_decodable,
            temperature=self.temperature,
            top_k=min(max(self.top_k, 0), vocab_size),
            top_p=self.top_p,
            min_p=self.min_p,
            typical_p=self.typical_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=list((self.logit_bias or {}).items()),
            allowed_token_ids=None if self.allowed_token_ids is None else list(self.allowed_token_ids),
            seed=_random_seed() if self.seed is None else self.seed,
            sequence=sequence,
            logprobs=self.logprobs,
            isa=isa,
        )
