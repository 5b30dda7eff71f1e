"""What a chat template may use: time, size of values, numbers. Checked at every step of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MAX_SECONDS = 1.0  # of processor time
MAX_VALUE = 1 << 22  # characters, or 4 a list item, that one operation makes; more if the messages are larger
MAX_NUMBER = 100_000  # of a width, an indent, a count given to a filter or method


class LimitError(Exception):
    """The template does too much."""


class Budget(threading.local):
    """What the render that this thread runs may still use."""

    deadline = float("inf")
    value = MAX_VALUE


budget = Budget()


def length(value: str | list[Any] | tuple[Any, ...]) -> int:
    return len(value) if isinstance(value, str) else 4 * len(value)


def check_time() -> None:
    if time.thread_time() > budget.deadline:
        raise LimitError(f"it runs for more than {MAX_SECONDS:g} s")


def check_size(size: int) -> None:
    check_time()
    if size > budget.value:
        raise LimitError(f"one value in it has a size of {size}")


def watched(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        check_time()
        yield value


def joined(parts: Iterable[Any]) -> str:
    texts, size = [], 0
    for part in parts:
        texts.append(str(part))
        size += len(texts[-1])
        check_size(size)
    return "".join(texts)


def check_format(text: str, wide: re.Pattern[str]) -> None:
    """Refuses widths that make a short format a long text."""
    if wide.search(text):
        raise LimitError("a format in it asks for too wide a text")
    check_time()


def check_numbers(args: Iterable[Any]) -> None:
    for value in args:
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise LimitError(
                f"a number given to a filter or method is {abs(value)}; at most {MAX_NUMBER} is taken"
            )


def check_method(owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    check_numbers([*args, *kwargs.values()])
    if not isinstance(owner, str):
        return
    if name == "replace" and len(args) >= 2:
        check_replace(owner, args[0], args[1])
    elif name == "join" and args:
        check_join(args[0], owner)
    elif name == "expandtabs":
        check_size(len(owner) + owner.count("\t") * int(args[0] if args else 8))


def check_replace(text: str, old: Any, new: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        check_size(len(text) + (text.count(old) * len(new)))


def check_join(values: Any, separator: Any) -> None:
    size = 0
    if isinstance(values, (list, tuple)):
        for value in values:
            size += len(value) if isinstance(value, str) else 1
        check_size(size + len(str(separator)) * len(values))
