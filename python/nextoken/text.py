"""Text that grows: whole characters out of tokens, and stop strings found while it grows."""

from __future__ import annotations

import codecs
from array import array
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextoken.tokenizer import Tokenizer


class StreamDecoder:
    """Token ids in, text out, with half a character held back until it is whole.

    The joined text is that of all bytes decoded at once, bad ones as U+FFFD. Time is linear in the bytes.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self.pending = b""  # the bytes of the last character, as long as it is not whole

    def push(self, token_id: int) -> str:
        """The text that is sure now. ValueError if `token_id` is not in the vocabulary."""
        if self._skip and self._tokenizer.is_special(token_id):
            return ""
        return self.decode(self._tokenizer.token_bytes(token_id))

    def decode(self, raw: bytes) -> str:
        """The same for the bytes of a token."""
        raw = self.pending + raw
        text, n_decoded = codecs.utf_8_decode(raw, "replace")
        self.pending = raw[n_decoded:]
        return text

    def finish(self) -> str:
        """What is held back, as U+FFFD, now that no more will come; the decoder is as new."""
        text = self.pending.decode("utf-8", "replace")
        self.pending = b""
        return text


def bytes_of_characters(before: bytes, raw: bytes, n: int) -> int:
    """How many bytes of `raw` belong to the first `n` characters that become whole in it.

    `before` are the bytes ahead of it that begin the first of them.

    >>> bytes_of_characters(b"\\xe6\\x97", b"\\xa5 a", 1)
    1
    """
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    utf8.decode(before)
    ends: list[int] = []
    for i in range(len(raw)):
        new = len(utf8.decode(raw[i : i + 1]))
        # A byte that does not go on what was begun ends that as U+FFFD before it; it may begin something itself.
        whole_now = not utf8.getstate()[0]
        ends += [i] * (new - whole_now) + [i + 1] * whole_now
    return 0 if n == 0 else ends[n - 1] if n <= len(ends) else len(raw)


class StopStrings:
    """Finds the first of several strings in a text that comes in pieces.

    First is the one that starts earliest, of those the shortest. What may still turn out to be part of it is held
    back; the rest is given out at once. Time is linear in the text, however many strings there are and however long
    (Aho and Corasick 1975).

    >>> stops = StopStrings(["\\n\\n"])
    >>> stops.push("one\\n"), stops.push("\\ntwo")
    (('one', None), ('', '\\n\\n'))
    """

    def __init__(self, stops: str | Iterable[str], *, include: bool = False) -> None:
        """`include`: the stop string is part of the text. ValueError for none or an empty one, TypeError for no str."""
        chosen = (stops,) if isinstance(stops, str) else tuple(stops)
        for i, stop in enumerate(chosen):
            if not isinstance(stop, str):
                raise TypeError(f"stop[{i}] must be str, not {type(stop).__name__}")
            if not stop:
                raise ValueError(f"stop[{i}] is empty")
        if not chosen:
            raise ValueError("stop must hold at least one string")
        self._automaton = _automaton(chosen)
        self._include = include
        self._state = 0
        # What is held back, characters _start to _end of the text; _used ones of the first piece are given out already.
        self._pieces: deque[str] = deque()
        self._start = self._end = self._used = 0
        self._found: tuple[int, int] | None = None  # start and length of the best stop so far

    def push(self, text: str) -> tuple[str, str | None]:
        """The text that is sure now, and the stop string once it is: what follows it is dropped."""
        next_state, fail, depth, stop_length = self._automaton
        state, position = self._state, self._end
        if text:
            self._pieces.append(text)
            self._end += len(text)
        for character in text:
            position += 1
            code = ord(character)
            while (target := next_state.get(state << 21 | code)) is None and state:
                state = fail[state]
            state = target or 0
            length = stop_length[state]
            if length and (self._found is None or position - length < self._found[0]):
                self._found = (position - length, length)
            # A stop that is still to come starts where the longest partial match does, or later.
            if self._found is not None and position - depth[state] >= self._found[0]:
                return self._stop()
        self._state = state
        return self._take(self._end - depth[state]), None

    def finish(self) -> tuple[str, str | None]:
        """What was held back, now that no more will come, and the stop string if one is in it."""
        return self._stop() if self._found is not None else (self._take(self._end), None)

    def _stop(self) -> tuple[str, str]:
        assert self._found is not None
        start, length = self._found
        before = self._take(start)
        stop = self._take(start + length)
        self._pieces.clear()
        self._start, self._used, self._found, self._state = self._end, 0, None, 0
        return (before + stop if self._include else before), stop

    def _take(self, end: int) -> str:
        """The held text up to character `end`, no longer held."""
        taken = []
        while self._pieces and self._start < end:
            piece = self._pieces[0]
            upto = min(len(piece), self._used + end - self._start)
            taken.append(piece[self._used : upto])
            self._start += upto - self._used
            self._used = upto
            if upto == len(piece):
                self._pieces.popleft()
                self._used = 0
        return "".join(taken)


_Automaton = tuple[dict[int, int], "array[int]", "array[int]", "array[int]"]


@lru_cache(maxsize=4)
def _automaton(stops: tuple[str, ...]) -> _Automaton:
    """Aho and Corasick's: transitions by state << 21 | character, then by state where to go on after a mismatch,
    the length of its text, and the length of the longest stop that ends it (0: none)."""
    next_state: dict[int, int] = {}
    depth, stop_length = array("i", [0]), array("i", [0])
    parents: list[tuple[int, int]] = [(0, 0)]  # (state before, character)
    for stop in stops:
        state = 0
        for character in stop:
            key = state << 21 | ord(character)
            if key not in next_state:
                next_state[key] = len(depth)
                parents.append((state, ord(character)))
                depth.append(depth[state] + 1)
                stop_length.append(0)
            state = next_state[key]
        stop_length[state] = len(stop)
    fail = array("i", bytes(4 * len(depth)))
    for state in sorted(range(1, len(depth)), key=depth.__getitem__):
        parent, code = parents[state]
        if parent:
            other = fail[parent]
            while (target := next_state.get(other << 21 | code)) is None and other:
                other = fail[other]
            fail[state] = target or 0
        if not stop_length[state]:
            stop_length[state] = stop_length[fail[state]]
    return next_state, fail, depth, stop_length
