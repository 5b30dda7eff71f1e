"""Token ids and prompts as callers hand them over: checked once, here, before anything is computed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nextoken.errors import ContextLengthError

Ids: TypeAlias = npt.NDArray[np.int32]
TokenIds: TypeAlias = "Sequence[int] | npt.NDArray[np.integer[Any]]"
Prompt: TypeAlias = "str | TokenIds"


def check_ids(
    ids: Any, vocab_size: int, *, n_ctx: int | None = None, n_held: int = 0, what: str = "token ids"
) -> Ids:
    """`ids` as int32 (T,), each within the vocabulary.

    Their number, with the `n_held` that are there already, is compared with `n_ctx` before they are read.

    Raises TypeError for what is no sequence of ints (bool, float and str are none), ValueError for an id outside
    0..vocab_size-1, ContextLengthError for more than `n_ctx`.
    """
    if isinstance(ids, np.ndarray):
        if ids.dtype.kind not in "iu":
            raise TypeError(f"{what} must be integers, got an array of {ids.dtype}")
        if ids.ndim != 1:
            raise ValueError(f"{what} must be one-dimensional, got an array of shape {ids.shape}")
    elif isinstance(ids, (str, bytes, bytearray)) or not isinstance(ids, Sequence):
        raise TypeError(f"{what} must be a list of ints or an integer array, got {type(ids).__name__}")
    if n_ctx is not None and n_held + len(ids) > n_ctx:
        behind = f" behind the {n_held} that the session holds" if n_held else ""
        raise ContextLengthError(
            f"{len(ids)} {what}{behind}, but the context holds {n_ctx}",
            n_prompt=n_held + len(ids),
            n_ctx=n_ctx,
        )
    if len(ids) == 0:
        return np.empty(0, np.int32)
    if not isinstance(ids, np.ndarray):
        ids = [_as_int(value, i, what) for i, value in enumerate(ids)]
        low, high = min(ids), max(ids)
    else:
        low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocab_size:
        at = next(i for i, value in enumerate(ids) if not 0 <= value < vocab_size)
        raise ValueError(
            f"{what}[{at}] is {shown(int(ids[at]))}: not in the vocabulary, 0 to {vocab_size - 1}"
        )
    return np.ascontiguousarray(ids, np.int32)


def shown(value: object) -> str:
    """A value in an error message, cut where it would fill the screen."""
    try:
        text = repr(value)
    except Exception:  # an int of 5,000 digits, or somebody else's fault
        return (
            f"an int of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
        )
    return text if len(text) <= 60 else text[:57] + "..."


def _as_int(value: Any, index: int, what: str) -> int:
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what}[{index}] is a bool, expected an int")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what}[{index}] is a {type(value).__name__}, expected an int") from None


def check_room(n_prompt: int, n_ctx: int) -> None:
    """Raises ContextLengthError if not even one token fits behind the prompt."""
    if n_prompt >= n_ctx:
        raise ContextLengthError(
            f"the prompt has {n_prompt} tokens: with n_ctx={n_ctx} there is no room for one more",
            n_prompt=n_prompt,
            n_ctx=n_ctx,
        )


def split_prompts(prompt: Any) -> tuple[list[Any], bool]:
    """The prompts in `prompt`, and whether it was a single one: a `str`, a `list[int]` or a 1-D array.

    Raises TypeError for anything else than these and lists of them, ValueError for an empty list.
    """
    if isinstance(prompt, str):
        return [prompt], True
    if isinstance(prompt, np.ndarray):
        if prompt.ndim not in (1, 2):
            raise ValueError(f"a prompt is a 1-D array of ids, many are 2-D; got shape {prompt.shape}")
        if len(prompt) == 0:
            raise ValueError(f"empty prompt: an array of shape {prompt.shape}")
        return ([prompt], True) if prompt.ndim == 1 else (list(prompt), False)
    if isinstance(prompt, (bytes, bytearray)) or not isinstance(prompt, Sequence):
        raise TypeError(f"a prompt must be a str or a list of token ids, got {type(prompt).__name__}")
    if len(prompt) == 0:
        raise ValueError("empty prompt: a list without token ids, or without prompts")
    first = prompt[0]
    if isinstance(first, (bytes, bytearray)):
        raise TypeError("a prompt must be a str or a list of token ids, got bytes")
    if isinstance(first, str) or not _is_number(first):
        texts = [isinstance(item, str) for item in prompt]
        if any(texts) and not all(texts):
            at = texts.index(not texts[0])
            raise TypeError(
                f"prompts are all text or all token ids; prompt 0 is a {type(first).__name__}, "
                f"prompt {at} a {type(prompt[at]).__name__}"
            )
        return list(prompt), False
    return [prompt], True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, complex, np.generic))


def common_prefix(a: Ids, b: Ids) -> int:
    """How many ids `a` and `b` share at their start."""
    n = min(len(a), len(b))
    differ = np.nonzero(a[:n] != b[:n])[0]
    return int(differ[0]) if len(differ) else n
