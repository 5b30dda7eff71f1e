"""The loop: predict, choose, append, again, until something says stop.

One loop serves one sequence and many. A `Batch` advances all its sequences by one token a step, in one native pass;
`stream` hands the tokens on as they come, `generate` collects them.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nextoken import _native
from nextoken.answer import Answer
from nextoken.completion import Completion, FinishReason, Timings, Token, Usage
from nextoken.engine import CancelFlag, Engine, Progress
from nextoken.errors import Cancelled
from nextoken.inputs import Ids
from nextoken.processor import call_processor

if TYPE_CHECKING:
    from nextoken.request import Request
    from nextoken.sampling import SamplingParams

MAX_BATCH = 32  # sequences that share a pass; the others wait for a place


class Sequence:
    """One answer on its way: what it was given, what came, and why it ended."""

    def __init__(
        self, request: Request, sampler: _native.Sampler, eos_ids: frozenset[int], room: int
    ) -> None:
        self.request = request
        self.params: SamplingParams = request.params
        self.sampler = sampler
        self.answer = Answer(request.tokenizer, self.params)
        self.cache: _native.Cache | None = None
        self.pending: Ids = request.ids  # what the next pass has to read
        self.predicted: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.stop_reason: int | str | None = None
        self.prefill_s = self.decode_s = self.ttft_s = 0.0
        self.passes = 0
        most = self.params.max_tokens
        self.budget = room if most is None else min(most, room)
        self._eos_ids = frozenset() if self.params.ignore_eos else eos_ids
        self._stop_ids = frozenset(self.params.stop_token_ids or ())

    def take(self, pick: _native.Pick, seconds: float) -> list[Token]:
        """The token chosen by a pass of `seconds`: appended, or the end. Returns the tokens that became sure."""
        self._count(seconds)
        self.predicted.append(pick.id)
        ends = pick.id in self._eos_ids or pick.id in self._stop_ids
        tokens: list[Token] = []
        if not ends or self.params.include_stop:
            tokens = self.answer.push(pick, seconds * 1e3)
        if ends:
            # As in vLLM: EOS is the ordinary end and needs no reason, a stop id is named.
            return tokens + self.finish("stop", pick.id if pick.id in self._stop_ids else None)
        if self.answer.stop is not None:
            return tokens + self.finish("stop", self.answer.stop)
        if len(self.predicted) >= self.budget:
            return tokens + self.finish("length")
        self.pending = np.array([pick.id], np.int32)
        self.sampler.observe(self.pending)
        return tokens

    def finish(self, reason: FinishReason, stop_reason: int | str | None = None) -> list[Token]:
        """End here. Returns the tokens that were held back."""
        tokens = self.answer.finish()
        if self.answer.stop is not None:  # found in what was held back
            reason, stop_reason = "stop", self.answer.stop
        self.finish_reason, self.stop_reason = reason, stop_reason
        return tokens

    @property
    def ids(self) -> Ids:
        """Prompt and answer so far."""
        return np.concatenate([self.request.ids, np.array(self.predicted, np.int32)])

    def _count(self, seconds: float) -> None:
        self.passes += 1
        if self.predicted:
            self.decode_s += seconds
        else:
            self.prefill_s += seconds
            self.ttft_s = time.perf_counter() - self.request.started

    def completion(self) -> Completion:
        """The answer so far; `finish_reason` is "cancelled" where nothing has ended it."""
        request, tokens = self.request, tuple(self.answer.tokens)
        return Completion(
            text=self.answer.text,
            token_ids=tuple(token.id for token in tokens),
            finish_reason=self.finish_reason or "cancelled",
            stop_reason=self.stop_reason,
            usage=Usage(len(request.ids), len(self.predicted), request.n_cached),
            timings=Timings(
                prefill_tokens=len(request.ids) - request.n_cached if self.predicted else 0,
                prefill_s=self.prefill_s,
                decode_tokens=max(0, len(self.predicted) - 1),
                decode_s=self.decode_s,
                ttft_s=self.ttft_s,
                passes=self.passes,
            ),
            logprobs=tokens if self.params.logprobs is not None else None,
            prompt_token_ids=tuple(request.ids.tolist()),
            prompt_logprobs=request.prompt_logprobs,
            seed=self.params.seed,
            model=request.model_name,
            kind=request.kind,
        )


class Batch:
    """Requests that are answered together. Every step is one pass, and one token more for each active sequence."""

    def __init__(
        self,
        engine: Engine,
        requests: Iterable[Request],
        cancel: Any = None,
        progress: Progress | None = None,
    ) -> None:
        self._engine = engine
        self._waiting = deque(requests)
        self._sequences = [sequence for request in self._waiting for sequence in request.sequences]
        self._active: list[Sequence] = []
        self._cancel = None if cancel is None else CancelFlag(cancel)
        self._progress = engine.guarded(progress)
        self._total = sum(len(s.request.ids) + s.budget for s in self._sequences)

    @property
    def done(self) -> bool:
        return not self._waiting and not self._active

    def step(self) -> list[Token]:
        """Advance every active sequence by one token. Returns the tokens that became sure, in order of sequences.

        A set `cancel` ends all sequences with "cancelled". Any other error comes as it is, with `.partial_text` and
        `.partial_tokens` of what was there; the batch is then over.
        """
        try:
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled("cancelled before the pass")
            self._admit()
            active = self._active
            start = time.perf_counter()
            picks = self._predict(active)
            seconds = time.perf_counter() - start
            tokens = [token for s, pick in zip(active, picks, strict=True) for token in s.take(pick, seconds)]
            self._retire()
            self._report(0)
            return tokens
        except Cancelled:
            tokens = [token for s in self._unfinished() for token in s.finish("cancelled")]
            self._waiting.clear()
            self._retire()
            return tokens
        except BaseException as error:
            self._explain(error)
            self.close()
            raise

    def run(self) -> None:
        """Step until done."""
        try:
            while not self.done:
                self.step()
        finally:
            self.close()

    def close(self) -> None:
        """Let the caches go: dropped, they are freed at once, where close() would wait for another thread's pass."""
        for sequence in self._active:
            sequence.cache = None
        self._active = []
        self._waiting.clear()

    def _admit(self) -> None:
        while self._waiting:
            request = self._waiting[0]
            if self._active and len(self._active) + len(request.sequences) > MAX_BATCH:
                return
            self._waiting.popleft()
            self._active += request.sequences
            request.start(self._engine, self._cancel)

    def _predict(self, active: list[Sequence]) -> list[_native.Pick]:
        """One pass over the pending ids of all, and a choice for each."""
        for s in active:
            if not s.params.use_cache:  # the whole prefix again
                s.cache, s.pending = self._engine.new_cache(), s.ids
        picks: dict[Sequence, _native.Pick] = {}
        plain = [s for s in active if s.params.logits_processor is None]
        if plain:
            caches, pending = [_cache(s) for s in plain], [s.pending for s in plain]
            samplers = [s.sampler for s in plain]
            found = self._engine.predict(caches, pending, samplers, self._cancel, self._report)
            picks.update(zip(plain, found, strict=True))
        custom = [s for s in active if s.params.logits_processor is not None]
        if custom:
            caches, pending = [_cache(s) for s in custom], [s.pending for s in custom]
            rows = self._engine.append(caches, pending, "last", self._cancel, self._report)
            for s, row in zip(custom, rows, strict=True):
                assert row is not None
                changed = call_processor(self._engine, s.params.logits_processor, s.ids.tolist(), row)
                picks[s] = s.sampler.choose(changed, len(s.ids), raw=row)
        return [picks[s] for s in active]

    def _retire(self) -> None:
        for s in self._active:
            if s.finish_reason is not None:
                s.cache = None
        self._active = [s for s in self._active if s.finish_reason is None]

    def _unfinished(self) -> list[Sequence]:
        return [s for s in self._sequences if s.finish_reason is None]

    def _report(self, n_read: int, _total: int = 0) -> None:
        """Tokens read and written so far, out of the most it can come to; `n_read` of the pass in flight."""
        if self._progress is None:
            return
        done = 0
        for s in self._sequences:
            n_prompt = len(s.request.ids)
            if s.finish_reason is not None:
                done += n_prompt + s.budget
            elif s.predicted:
                done += n_prompt + len(s.predicted)
        self._progress(min(done + n_read, self._total), self._total)

    def _explain(self, error: BaseException) -> None:
        """Hang on `error` what had been answered: one text and one tuple of ids, or a list for several sequences."""
        for s in self._unfinished():
            s.answer.finish()
        texts = [s.answer.text for s in self._sequences]
        ids = [tuple(token.id for token in s.answer.tokens) for s in self._sequences]
        with contextlib.suppress(AttributeError, TypeError):  # a class with __slots__ has no place for them
            error.partial_text = texts[0] if len(texts) == 1 else texts  # type: ignore[attr-defined]
            error.partial_tokens = ids[0] if len(ids) == 1 else ids  # type: ignore[attr-defined]


def _cache(sequence: Sequence) -> _native.Cache:
    assert sequence.cache is not None
    return sequence.cache
