"""One check a kind of sampling parameter: (name, value) to the value to keep, or an error that names the field."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nextoken.inputs import shown

MAX_N = 128  # answers to one prompt
MAX_LOGPROBS = 1024  # candidates reported for each token
MAX_BIAS = 100.0  # a logit_bias beyond this, either way, is cut to it
_MAX_ID = 2**31 - 1


def _wrong_kind(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name}: expected {expected}, got {shown(value)} ({type(value).__name__})")


def _integer(name: str, value: object) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise _wrong_kind(name, "an integer", value)
    return operator.index(value)


def _number(name: str, value: object) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise _wrong_kind(name, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {shown(value)}")
    return number


def _from(least: int, most: float = math.inf) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        number = _integer(name, value)
        if not least <= number <= most:
            limits = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise ValueError(f"{name}: expected {limits}, got {shown(value)}")
        return number

    return check


def _between(least: float, most: float, *, open_below: bool = False) -> Callable[[str, object], float]:
    def check(name: str, value: object) -> float:
        number = _number(name, value)
        if not least <= number <= most or (open_below and number == least):
            limits = f"above {least:g}" if open_below else f"{least:g} or more"
            limits += "" if most == math.inf else f" and at most {most:g}"
            raise ValueError(f"{name}: expected {limits}, got {shown(value)}")
        return number

    return check


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise _wrong_kind(name, "True or False", value)
    return bool(value)


def _seed(name: str, value: object) -> int:
    return _integer(name, value) % 2**64


def _members(name: str, value: object, expected: str) -> Iterable[object]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise _wrong_kind(name, expected, value)
    return value


def _stop(name: str, value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else _members(name, value, "a string or a list of strings")
    checked = []
    for text in texts:
        if not isinstance(text, str):
            raise _wrong_kind(name, "strings", text)
        if not text:
            raise ValueError(f"{name}: an empty string would stop every answer at once")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{name}: lone surrogate at {error.start} in {shown(text)}") from None
        checked.append(text)
    return tuple(checked)


def _token_id(name: str, value: object) -> int:
    token_id = _integer(name, value)
    if not 0 <= token_id <= _MAX_ID:
        raise ValueError(f"{name}: {shown(value)} is no token id")
    return token_id


def _token_ids(name: str, value: object) -> tuple[int, ...]:
    return tuple([_token_id(name, one) for one in _members(name, value, "a list of token ids")])


def _allowed(name: str, value: object) -> tuple[int, ...]:
    ids = _token_ids(name, value)
    if not ids:
        raise ValueError(f"{name}: an empty list leaves nothing to choose")
    return ids


def _logit_bias(name: str, value: object) -> dict[int, float]:
    if not isinstance(value, Mapping):
        raise _wrong_kind(name, "a mapping from token id to number", value)
    return {
        _token_id(name, key): min(max(_number(name, bias), -MAX_BIAS), MAX_BIAS)
        for key, bias in value.items()
    }


def _callable(name: str, value: object) -> Callable[..., Any]:
    if not callable(value):
        raise _wrong_kind(name, "a callable", value)
    return value


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "max_tokens": _from(1),
    "temperature": _between(0, math.inf),
    "top_k": _from(-1),
    "top_p": _between(0, 1, open_below=True),
    "min_p": _between(0, 1),
    "typical_p": _between(0, 1),
    "repetition_penalty": _between(0, math.inf, open_below=True),
    "presence_penalty": _between(-2, 2),
    "frequency_penalty": _between(-2, 2),
    "stop": _stop,
    "stop_token_ids": _token_ids,
    "include_stop": _flag,
    "ignore_eos": _flag,
    "seed": _seed,
    "logprobs": _from(0, MAX_LOGPROBS),
    "prompt_logprobs": _from(0, MAX_LOGPROBS),
    "logit_bias": _logit_bias,
    "allowed_token_ids": _allowed,
    "n": _from(1, MAX_N),
    "logits_processor": _callable,
    "use_cache": _flag,
    "profile": _flag,
}
