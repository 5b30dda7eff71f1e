"""The text of an answer as it grows: whatever the tokens, texts and bytes are those of the whole, up to the stop."""

from __future__ import annotations

import codecs
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nextoken import SamplingParams
from nextoken.answer import Answer
from nextoken.text import StreamDecoder

# Bytes of characters that share beginnings, whole and in halves, so that stops begin inside and across tokens.
PIECES = ("a", "ab", "\u20ac", "\u20ad", "\U0001f600", "\U0001f601", "e\u0301", "\ufffd")
HALVES = (
    b"\xe2",
    b"\x82",
    b"\xac",
    b"a\xe2\x82",
    b"\xac\xe2",
    b"\xf0\x9f",
    b" \xf0\x9f\x98",
    b"\x80b",
    b"\xff",
)


class Pieces:
    """A tokenizer of as many tokens as there are pieces: token i is the bytes of piece i."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def token_bytes(self, token_id: int) -> bytes:
        return self._pieces[token_id]

    def stream_decoder(self) -> StreamDecoder:
        return StreamDecoder(self)  # type: ignore[arg-type]


class Picked:
    logprob = 0.0
    top: tuple[()] = ()

    def __init__(self, token_id: int) -> None:
        self.id = token_id


def characters(raw: bytes) -> list[tuple[str, int]]:
    """Each character of `raw` and where it ends, U+FFFD for what is none."""
    found: list[tuple[str, int]] = []
    at = 0

    def add_valid(upto: int) -> None:
        nonlocal at
        for character in raw[at:upto].decode():
            at += len(character.encode())
            found.append((character, at))

    def note(error: UnicodeError) -> tuple[str, int]:
        nonlocal at
        assert isinstance(error, UnicodeDecodeError)
        add_valid(error.start)
        at = error.end
        found.append(("\ufffd", at))
        return "\ufffd", error.end

    codecs.register_error("nextoken-test-note", note)
    raw.decode(errors="nextoken-test-note")
    add_valid(len(raw))
    return found


@given(
    pieces=st.lists(st.sampled_from([p.encode() for p in PIECES] + list(HALVES)), max_size=12),
    stops=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join), max_size=3),
    include=st.booleans(),
)
@example(pieces=[b"\xe2", b"\x82", b"\xac", b"b"], stops=["\u20acb"], include=False)
@example(pieces=[b"a\xe2\x82", b"\xac", b"b"], stops=["\u20acb"], include=False)
@example(pieces=[b"a\xe2\x82", b"b"], stops=["\ufffdb"], include=False)
def test_texts_and_bytes_are_those_before_the_stop(
    pieces: list[bytes], stops: list[str], include: bool
) -> None:
    whole = characters(b"".join(pieces))
    text = "".join(character for character, _ in whole)
    places = [(text.find(stop), len(stop)) for stop in stops if stop in text]
    end = len(text)
    if places:
        start, length = min(places)
        end = start + length * include
    n_bytes = 0 if end == 0 else whole[end - 1][1]

    tokenizer: Any = Pieces(pieces)
    answer = Answer(tokenizer, SamplingParams(stop=stops or None, include_stop=include))
    given_out = []
    for token_id in range(len(pieces)):
        picked: Any = Picked(token_id)
        given_out += answer.push(picked, 0.0)
        shown = "".join(token.text for token in given_out)
        assert text[:end].startswith(shown), "given out too early"
        if answer.stop is not None:
            break
    given_out += answer.finish()
    assert "".join(token.text for token in given_out) == text[:end] == answer.text
    assert b"".join(token.bytes for token in given_out) == b"".join(pieces)[:n_bytes]
    assert given_out == answer.tokens
    assert (answer.stop is not None) == bool(places)
