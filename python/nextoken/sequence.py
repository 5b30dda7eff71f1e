"""One answer on its way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from nextoken import _native
from nextoken.answer import Answer
from nextoken.completion import Completion, FinishReason, Timings, Token, Usage, op_timings
from nextoken.errors import NumericalError
from nextoken.inputs import Ids, TokenIds

if TYPE_CHECKING:
    from nextoken.request import Request
    from nextoken.sampling import SamplingParams


class Sequence:
    """What it was given, what came, and why it ended."""

    def __init__(
        self, request: Request, sampler: _native.Sampler, eos_ids: frozenset[int], room: int
    ) -> None:
        self.request = request
        self.params: SamplingParams = request.params
        self.sampler = sampler
        self.answer = Answer(request.tokenizer, self.params)
        self.cache: _native.Cache | None = None
        self.version = -1  # that the cache of a session must have, since others can change it
        self.pending: TokenIds = request.ids  # what the next pass has to read
        self.predicted: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.stop_reason: int | str | None = None
        self.error: NumericalError | None = None
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
        self.pending = [pick.id]
        self.sampler.observe(self.pending)
        return tokens

    def finish(self, reason: FinishReason, stop_reason: int | str | None = None) -> list[Token]:
        """End here. Returns the tokens that were held back."""
        tokens = self.answer.finish()
        if self.answer.stop is not None:  # found in what was held back
            reason, stop_reason = "stop", self.answer.stop
        self.finish_reason, self.stop_reason = reason, stop_reason
        return tokens

    def fail(self, error: NumericalError) -> None:
        """End here, with an error that is this sequence's own."""
        self.answer.finish()
        self.error = error

    @property
    def ended(self) -> bool:
        return self.finish_reason is not None or self.error is not None

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
                prefill_ops=() if request.profile is None else op_timings(request.profile.prefill()),
                decode_ops=() if request.profile is None else op_timings(request.profile.decode()),
            ),
            logprobs=tokens if self.params.logprobs is not None else None,
            prompt_token_ids=tuple(request.ids.tolist()),
            prompt_logprobs=request.prompt_logprobs,
            seed=self.params.seed,
            model=request.model_name,
            kind=request.kind,
        )
