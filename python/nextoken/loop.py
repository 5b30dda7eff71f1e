"""The loop: predict, choose, append, again, until something says stop.

One loop serves one sequence and many. A `Batch` advances all its sequences by one token a step, in one native pass;
`stream` hands the tokens on as they come, `generate` collects them.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from nextoken import _native
from nextoken.completion import Token
from nextoken.engine import CancelFlag, Engine, Progress
from nextoken.errors import Cancelled, NumericalError
from nextoken.inputs import TokenIds
from nextoken.processor import call_processor
from nextoken.sequence import Sequence

if TYPE_CHECKING:
    from nextoken.request import Request

T = TypeVar("T")
MAX_BATCH = 32  # sequences that share a pass; the others wait for a place


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
        self._requests = list(requests)
        self._waiting = deque(self._requests)
        self._sequences = [sequence for request in self._waiting for sequence in request.sequences]
        self._active: list[Sequence] = []
        self._cancel = None if cancel is None else CancelFlag(cancel)
        self._progress = engine.guarded(progress)
        self._on_rows = (
            None if progress is None else self._report
        )  # else each pass would want the GIL to call it
        self._profile = _native.Profile() if any(r.params.profile for r in self._waiting) else None
        for request in self._waiting:
            request.profile = self._profile if request.params.profile else None
        self._total = sum(len(s.request.ids) + s.budget for s in self._sequences)

    @property
    def done(self) -> bool:
        return not self._waiting and not self._active

    def step(self) -> list[Token]:
        """Advance every active sequence by one token. Returns the tokens that became sure, in order of sequences.

        A set `cancel` ends all sequences with "cancelled". Any other error comes as it is, with `.partial_text` and
        `.partial_tokens` of what was there; the batch is then over. A NumericalError ends its own sequence alone, and
        waits for `raise_failures`.
        """
        try:
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled("cancelled before the pass")
            self._admit()
            start = time.perf_counter()
            picks = self._predict([s for s in self._active if not s.ended])
            seconds = time.perf_counter() - start
            tokens = [token for s, pick in picks for token in s.take(pick, seconds)]
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
            self.raise_failures()
        finally:
            self.close()

    def raise_failures(self) -> None:
        """When all is done: the first NumericalError, with the answers of the requests that have none."""
        errors = [s.error for s in self._sequences if s.error is not None]
        if errors:
            errors[0].completions = [
                None if any(s.error for s in request.sequences) else request.completion()
                for request in self._requests
            ]
            self._explain(errors[0])
            raise errors[0]

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
            try:
                request.start(self._engine, self._cancel)
            except NumericalError as error:
                for s in request.sequences:
                    s.fail(error)

    def _predict(self, active: list[Sequence]) -> list[tuple[Sequence, _native.Pick]]:
        """One pass over the pending ids of all, and a choice for each but those whose numbers went wrong."""
        for s in active:
            if not s.params.use_cache:  # the whole prefix again
                s.cache, s.pending = self._engine.new_cache(), s.ids
        plain = [s for s in active if s.params.logits_processor is None]
        picks = self._each(plain, self._predict_plain)
        custom = [s for s in active if s.params.logits_processor is not None]
        for s, row in self._each(custom, self._last_rows):
            picks += self._each([s], partial(self._choose, row))
        return picks

    def _each(
        self, group: list[Sequence], run: Callable[[list[Sequence]], list[T]]
    ) -> list[tuple[Sequence, T]]:
        """What one pass gives for each of `group`.

        If numbers go wrong, no sequence has advanced; alone, each has the same bits as in company. So each is run
        alone, to fail alone.
        """
        if not group:
            return []
        try:
            results = run(group)
        except NumericalError as error:
            if len(group) > 1:
                return [found for one in group for found in self._each([one], run)]
            group[0].fail(error)
            return []
        return list(zip(group, results, strict=True))

    def _predict_plain(self, group: list[Sequence]) -> list[_native.Pick]:
        caches, pending, versions = _inputs(group)
        samplers = [s.sampler for s in group]
        picks = self._engine.predict(
            caches, pending, samplers, self._cancel, self._on_rows, versions, self._profile
        )
        _advanced(group)
        return picks

    def _last_rows(self, group: list[Sequence]) -> list[Any]:
        caches, pending, versions = _inputs(group)
        rows = self._engine.append(
            caches, pending, "last", self._cancel, self._on_rows, versions, self._profile
        )
        _advanced(group)
        return rows

    def _choose(self, row: Any, group: list[Sequence]) -> list[_native.Pick]:
        (s,) = group
        changed = call_processor(self._engine, s.params.logits_processor, s.ids.tolist(), row)
        return [s.sampler.choose(changed, len(s.ids), raw=row)]

    def _retire(self) -> None:
        for s in self._active:
            if s.ended:
                s.cache = None
        self._active = [s for s in self._active if not s.ended]

    def _unfinished(self) -> list[Sequence]:
        return [s for s in self._sequences if not s.ended]

    def _report(self, n_read: int, _total: int = 0) -> None:
        """Tokens read and written so far, out of the most it can come to; `n_read` of the pass in flight."""
        if self._progress is None:
            return
        done = 0
        for s in self._sequences:
            n_prompt = len(s.request.ids)
            if s.ended:
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


def _advanced(group: list[Sequence]) -> None:
    for s in group:
        s.version += s.version >= 0


def _inputs(group: list[Sequence]) -> tuple[list[_native.Cache], list[TokenIds], list[int]]:
    """What a pass over `group` reads: caches, new ids, and the versions that the caches must have."""
    caches = [s.cache for s in group if s.cache is not None]
    return caches, [s.pending for s in group], [s.version for s in group]
