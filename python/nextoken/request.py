"""A prompt on its way into the loop: its ids, its parameters, and the sequences that answer it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nextoken import _native
from nextoken.answer import Vocabulary
from nextoken.completion import Completion, Token
from nextoken.engine import Engine
from nextoken.inputs import Ids, check_room, common_prefix
from nextoken.scoring import score_chunks
from nextoken.sequence import Sequence

if TYPE_CHECKING:
    from nextoken.sampling import SamplingParams
    from nextoken.session import Session
    from nextoken.tokenizer import Tokenizer


def n_decodable(engine: Engine, tokenizer: Tokenizer | None) -> int:
    """Ids that may be chosen: those with text. Some files pad the vocabulary with rows that have none."""
    return engine.vocab_size if tokenizer is None else min(len(tokenizer), engine.vocab_size)


class Request:
    """One prompt and its `n` answers.

    Raises ContextLengthError if not even one token fits behind the prompt.
    """

    def __init__(
        self,
        engine: Engine,
        ids: Ids,
        params: SamplingParams,
        tokenizer: Tokenizer | None,
        *,
        eos_ids: frozenset[int] = frozenset(),
        session: Session | None = None,
        model_name: str = "",
        kind: Literal["text", "chat"] = "text",
    ) -> None:
        check_room(len(ids), engine.n_ctx)
        self.started = time.perf_counter()
        self.ids = ids
        self.params = params.seeded()
        self.tokenizer = tokenizer
        self.model_name = model_name
        self.kind = kind
        self.n_cached = 0  # tokens of the prompt that the session had already
        self.prompt_logprobs: tuple[Token | None, ...] | None = None
        self.profile: _native.Profile | None = None  # of the batch, if this request asks for one
        self._session = session
        self._n_decodable = n_decodable(engine, tokenizer)
        self.sequences = []
        for i in range(params.n):
            sampler = self.params.sampler(engine.vocab_size, n_decodable=self._n_decodable, sequence=i)
            sampler.observe_prompt(ids)
            self.sequences.append(Sequence(self, sampler, eos_ids, engine.n_ctx - len(ids)))

    def start(self, engine: Engine, cancel: Any) -> None:
        """Give each sequence its cache. What several of them need, or needs every row of logits, is read here."""
        first = self.sequences[0]
        if not self.params.use_cache:
            if self.params.prompt_logprobs is not None:
                self._score_prompt(engine, engine.new_cache(), self.ids, cancel)
            return
        pending = self.ids
        if self._session is None:
            first.cache = engine.new_cache()
        else:
            first.cache = self._session._cache
            first.version = first.cache.version
            if self.params.prompt_logprobs is None:  # else all of the prompt is computed anew
                had = np.asarray(first.cache.ids(), np.int32)
                self.n_cached = min(common_prefix(had, self.ids), len(self.ids) - 1)
            self._session._rewind_to(self.n_cached)
            first.version += 1
            pending = self.ids[self.n_cached :]
        begin = time.perf_counter()
        if self.params.prompt_logprobs is not None:
            self._score_prompt(engine, first.cache, pending, cancel)
            pending = pending[-1:]
            if self._session is not None:
                first.version = first.cache.version
        elif len(self.sequences) > 1 and len(pending) > 1:
            engine.append([first.cache], [pending[:-1]], "none", cancel, profile=self.profile)
            pending = pending[-1:]
        seconds = time.perf_counter() - begin
        for sequence in self.sequences:
            if sequence is not first:
                sequence.cache = engine.keep(first.cache.fork())
            sequence.pending = pending
            sequence.prefill_s += seconds

    def completion(self) -> Completion:
        """The answers so far, the first with the others in `choices`."""
        first, *others = (sequence.completion() for sequence in self.sequences)
        return replace(first, others=tuple(others))

    def _score_prompt(self, engine: Engine, cache: _native.Cache, ids: Ids, cancel: Any) -> None:
        """Fill `prompt_logprobs`, and append all of `ids` but the last."""
        vocabulary = Vocabulary(self.tokenizer)
        n_top = self.params.prompt_logprobs or 0
        scored: list[Token | None] = [None]
        for chunk in score_chunks(engine, cache, ids, n_top, self._n_decodable, cancel):
            for token_id, logprob, top_ids, top_logprobs in chunk:
                raw = vocabulary.bytes_of(token_id)
                top = tuple(
                    vocabulary.candidate(int(i), float(p))
                    for i, p in zip(top_ids, top_logprobs, strict=True)
                    if i >= 0
                )
                text = raw.decode("utf-8", "replace")
                scored.append(Token(token_id, text, raw, logprob, top, index=len(scored)))
        self.prompt_logprobs = tuple(scored)
