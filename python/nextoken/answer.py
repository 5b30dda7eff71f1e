"""The text of an answer, token by token: nothing leaves before it is sure that it stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nextoken.completion import Candidate, Token
from nextoken.text import StopStrings, StreamDecoder, bytes_of_characters

if TYPE_CHECKING:
    from nextoken import _native
    from nextoken.sampling import SamplingParams
    from nextoken.tokenizer import Tokenizer


class Held(NamedTuple):
    """A token that may still be cut off, and the halves of characters around it."""

    token: Token
    before: bytes  # of the character that the tokens before it began
    after: bytes  # of the one that it leaves to the next


class Answer:
    """Takes picks, gives out Tokens.

    A token is held back while the character it began is not whole, and while its text may still turn out to be the
    start of a stop string. So what was given out is never taken back: joined, `bytes` and `text` of the tokens are
    those of the answer. Without a tokenizer the text is empty.
    """

    def __init__(self, tokenizer: Tokenizer | None, params: SamplingParams) -> None:
        self._vocabulary = Vocabulary(tokenizer)
        self._params = params
        self._decoder = None if tokenizer is None else tokenizer.stream_decoder()
        self._stops = StopStrings(params.stop, include=params.include_stop) if params.stop else None
        self._held: list[Held] = []
        self._n_pushed = 0  # tokens
        self._n_sure = 0  # characters of the held tokens that no stop string can take any more
        self.tokens: list[Token] = []
        self.stop: str | None = None  # the stop string found

    def push(self, pick: _native.Pick, ms: float) -> list[Token]:
        """Take the next pick; returns the tokens that became sure. Sets `stop` when a stop string was completed."""
        decoder = self._decoder
        before = b"" if decoder is None else decoder.pending
        token = self._vocabulary.token(pick, self._params, decoder, self._n_pushed, ms)
        after = b"" if decoder is None else decoder.pending
        self._held.append(Held(token, before, after))
        self._n_pushed += 1
        if self._stops is None:
            return [] if after else self._give(len(self._held))
        sure, self.stop = self._stops.push(token.text)
        self._n_sure += len(sure)
        if self.stop is not None:
            return self._cut()
        return [] if after else self._release()

    def finish(self) -> list[Token]:
        """The tokens still held back: no more will come. Half a character becomes U+FFFD, as in a whole decode."""
        if self.stop is not None or not self._held:
            return []
        rest = "" if self._decoder is None else self._decoder.finish()
        last = self._held[-1]
        self._held[-1] = last._replace(token=replace(last.token, text=last.token.text + rest))
        if self._stops is not None:
            sure, self.stop = self._stops.push(rest)
            self._n_sure += len(sure)
            if self.stop is None:  # one may have waited for another that could have begun before it
                sure, self.stop = self._stops.finish()
                self._n_sure += len(sure)
            if self.stop is not None:
                return self._cut()
        return self._give(len(self._held))

    def _release(self) -> list[Token]:
        """Held tokens whose whole text is sure, with the character that the last one may have begun."""
        n, sure = 0, self._n_sure
        for i, (token, _, after) in enumerate(self._held, 1):
            sure -= len(token.text)
            if sure < bool(after):
                break
            n, self._n_sure = i, sure
        return self._give(n)

    def _cut(self) -> list[Token]:
        """At a stop string: the tokens before the cut, the last one shortened to what is before it."""
        n = 0
        for i, (token, before, _) in enumerate(self._held):
            if self._n_sure == 0:
                break
            n, length = i + 1, min(len(token.text), self._n_sure)
            self._n_sure -= length
            if self._n_sure == 0:
                whole = bytes_of_characters(before, token.bytes, length)
                shorter = replace(token, text=token.text[:length], bytes=token.bytes[:whole])
                self._held[i] = self._held[i]._replace(token=shorter)
        tokens = self._give(n)
        self._held = []
        return tokens

    def _give(self, n: int) -> list[Token]:
        """The first `n` held tokens, held no longer."""
        tokens = [held.token for held in self._held[:n]]
        del self._held[:n]
        self.tokens += tokens
        return tokens

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


class Vocabulary:
    """Ids to Tokens and Candidates with their text and bytes."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer

    def token(
        self, pick: _native.Pick, params: SamplingParams, decoder: StreamDecoder | None, index: int, ms: float
    ) -> Token:
        """The Token of a pick that goes on the text of `decoder`."""
        wanted = params.logprobs is not None
        raw = self.bytes_of(pick.id)
        return Token(
            id=pick.id,
            text="" if decoder is None else decoder.decode(raw),
            bytes=raw,
            logprob=pick.logprob if wanted else None,
            top=tuple(self.candidate(i, logprob) for i, _, logprob in pick.top) if wanted else None,
            index=index,
            ms=ms,
        )

    def candidate(self, token_id: int, logprob: float) -> Candidate:
        raw = self.bytes_of(token_id)
        return Candidate(token_id, raw.decode("utf-8", "replace"), raw, logprob)

    def bytes_of(self, token_id: int) -> bytes:
        """The bytes of a token; b"" without a tokenizer, and for ids that only pad the vocabulary."""
        if self._tokenizer is None or token_id >= len(self._tokenizer):
            return b""
        return self._tokenizer.token_bytes(token_id)
