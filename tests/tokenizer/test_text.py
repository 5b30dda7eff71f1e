"""Streams of tokens and pieces of text: whatever the cuts, the outcome is that of the whole."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken.text import StopStrings, StreamDecoder
from nextoken.tokenizer import Tokenizer


class Bytes:
    """A tokenizer whose tokens are given."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def token_bytes(self, token_id: int) -> bytes:
        return self._pieces[token_id]

    def is_special(self, token_id: int) -> bool:
        return self._pieces[token_id].startswith(b"<")


def decoder(pieces: list[bytes], **options: bool) -> StreamDecoder:
    return StreamDecoder(cast(Tokenizer, Bytes(pieces)), **options)


@given(
    st.lists(
        st.one_of(st.binary(max_size=5), st.text(max_size=3).map(lambda t: t.encode("utf-8", "replace")))
    )
)
def test_streamed_text_is_the_decoded_whole(pieces: list[bytes]) -> None:
    stream = decoder(pieces)
    text = "".join(stream.push(i) for i in range(len(pieces))) + stream.finish()
    assert text == b"".join(pieces).decode("utf-8", "replace")
    assert not stream.pending


@given(st.text(min_size=1, max_size=20))
def test_no_text_holds_half_a_character(text: str) -> None:
    raw = text.encode()
    pieces = [raw[i : i + 1] for i in range(len(raw))]
    stream = decoder(pieces)
    out = [stream.push(i) for i in range(len(pieces))]
    assert "".join(out) == text
    assert stream.finish() == ""


def test_half_a_character_at_the_end_is_a_replacement_character() -> None:
    stream = decoder(["é".encode()[:1], b"x"])
    assert stream.push(0) == ""
    assert stream.pending
    assert stream.finish() == "\ufffd"
    assert stream.push(1) == "x"


def test_special_tokens_can_be_skipped() -> None:
    stream = decoder([b"a", b"<end>", b"b"], skip_special_tokens=True)
    assert "".join(map(stream.push, range(3))) == "ab"


def first_stop(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The definition: earliest start, then shortest."""
    found = [(text.find(stop), len(stop), stop) for stop in stops if stop in text]
    if not found:
        return text, None
    start, _, stop = min(found)
    return text[:start], stop


def run(stops: StopStrings, pieces: list[str]) -> tuple[str, str | None]:
    out = ""
    for piece in pieces:
        sure, stop = stops.push(piece)
        out += sure
        if stop is not None:
            return out, stop
    sure, stop = stops.finish()
    return out + sure, stop


ab = st.text("abc", min_size=1, max_size=6)


@given(st.lists(st.text("abc", max_size=4), max_size=12), st.lists(ab, min_size=1, max_size=4))
def test_stops_are_found_where_the_whole_text_has_them(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    before, stop = first_stop(text, stops)
    assert run(StopStrings(stops), pieces) == (before, stop)
    assert run(StopStrings(stops, include=True), pieces) == (before + (stop or ""), stop)


@given(
    st.lists(st.text(max_size=4), max_size=8),
    st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_stops_in_any_script(pieces: list[str], stops: list[str]) -> None:
    assert run(StopStrings(stops), pieces) == first_stop("".join(pieces), stops)


@given(st.lists(st.text("ab", max_size=3), max_size=10), ab)
def test_only_what_may_begin_a_stop_is_held_back(pieces: list[str], stop: str) -> None:
    stops, text, out = StopStrings(stop), "", ""
    for piece in pieces:
        sure, found = stops.push(piece)
        if found is not None:
            return
        text, out = text + piece, out + sure
        held = text[len(out) :]
        assert text.startswith(out)
        assert stop.startswith(held)
        longest = max((n for n in range(len(stop)) if text.endswith(stop[:n])), default=0)
        assert len(held) == longest


def test_a_longer_stop_that_started_earlier_wins() -> None:
    stops = StopStrings(["bc", "abcd"])
    assert stops.push("xab") == ("x", None)
    assert stops.push("c") == ("", None)
    assert stops.push("d") == ("", "abcd")
    assert run(StopStrings(["bc", "abcd"]), ["xabce"]) == ("xa", "bc")
    assert run(StopStrings(["bc", "abcd"]), ["xabc"]) == ("xa", "bc")


@pytest.mark.parametrize(
    ("stops", "error"),
    [("", ValueError), ([""], ValueError), ([], ValueError), ([b"x"], TypeError), (["a", 1], TypeError)],
)
def test_stops_that_are_none_are_refused(stops: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="stop"):
        StopStrings(stops)  # type: ignore[arg-type]


def test_ten_thousand_stops_and_one_of_a_megabyte() -> None:
    many = StopStrings([f"stop {i}!" for i in range(10_000)])
    assert run(many, ["a stop 77, stop 7", "7!", "x"]) == ("a stop 77, ", "stop 77!")
    long = "a" * 1_000_000 + "b"
    text = "a" * 1_500_000
    assert run(StopStrings(long), [text[i : i + 9973] for i in range(0, len(text), 9973)]) == (text, None)
    assert run(StopStrings(long), [text, "bc"]) == ("a" * 500_000, long)
