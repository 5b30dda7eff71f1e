"""What callers hand over, checked, and made into what the loop takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nextoken import _native
from nextoken.engine import Engine, Progress
from nextoken.inputs import Ids, TokenIds, check_ids, split_prompts
from nextoken.loop import Batch
from nextoken.request import Request, n_decodable
from nextoken.sampling import SamplingParams
from nextoken.session import Session
from nextoken.stream import TokenStream

if TYPE_CHECKING:
    from nextoken.loading import PendingTokenizer


class Intake:
    """The checks of one model: TypeError or ValueError, naming the argument, before anything is computed."""

    def __init__(self, engine: Engine, tokenizer: PendingTokenizer, name: str) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._name = name

    def params(self, params: SamplingParams | None, options: dict[str, Any]) -> SamplingParams:
        self._engine.check()
        chosen = SamplingParams.build(params, **options)
        chosen.check_vocab(self._engine.vocab_size)
        return chosen

    def sampler(self, params: SamplingParams) -> _native.Sampler:
        decodable = n_decodable(self._engine, self._tokenizer.get_or_none())
        return params.sampler(self._engine.vocab_size, n_decodable=decodable)

    @staticmethod
    def single(params: SamplingParams) -> SamplingParams:
        if params.n != 1:
            raise ValueError(f"n={params.n}: a stream or session holds one answer; use generate")
        return params

    def own(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"expected a Session, got {type(session).__name__}")
        if session._engine is not self._engine:
            raise ValueError("this session belongs to another LLM")

    def new_ids(self, sessions: Sequence[Session], ids: Sequence[TokenIds]) -> list[Ids]:
        """`ids[i]`, checked, to be appended to `sessions[i]`."""
        if not isinstance(sessions, Sequence):
            raise TypeError(f"sessions must be a list of Sessions, got {type(sessions).__name__}")
        if not isinstance(ids, (Sequence, np.ndarray)):
            raise TypeError(f"ids must be a list of lists of token ids, got {type(ids).__name__}")
        if len(sessions) != len(ids):
            raise ValueError(f"{len(sessions)} sessions but {len(ids)} lists of ids")
        for session in sessions:
            self.own(session)
        if len({id(session) for session in sessions}) != len(sessions):
            raise ValueError("a session can not be in one pass twice")
        return [
            session._check_new(new, f"token ids of session {i}")
            for i, (session, new) in enumerate(zip(sessions, ids, strict=True))
        ]

    def one_prompt(self, prompt: Any) -> Ids:
        prompts, single = split_prompts(prompt)
        if not single:
            raise TypeError("expected one prompt, a str or a list of token ids, got a list of prompts")
        return self.encode(prompts[0], None)

    def encode(self, prompt: Any, index: int | None) -> Ids:
        """A prompt's ids, checked against vocabulary and context."""
        which = "" if index is None else f" {index}"
        if isinstance(prompt, str):
            prompt = self._tokenizer.get().encode(prompt, add_special_tokens=True)
        return self.check_ids(prompt, f"token ids of prompt{which}")

    def check_ids(self, ids: Any, what: str) -> Ids:
        checked = check_ids(ids, self._engine.vocab_size, n_ctx=self._engine.n_ctx, what=what)
        if len(checked) == 0:
            raise ValueError(f"empty prompt: no {what}")
        return checked

    def request(
        self,
        ids: Ids,
        params: SamplingParams,
        *,
        session: Session | None = None,
        kind: Literal["text", "chat"] = "text",
    ) -> Request:
        # without a tokenizer there is no text, in which a stop string would never be found
        tokenizer = self._tokenizer.get() if params.stop else self._tokenizer.get_or_none()
        return Request(
            self._engine,
            ids,
            params,
            tokenizer,
            eos_ids=frozenset() if tokenizer is None else frozenset(tokenizer.eos_ids),
            session=session,
            model_name=self._name,
            kind=kind,
        )

    def stream(self, request: Request, cancel: Any, progress: Progress | None) -> TokenStream:
        return TokenStream(Batch(self._engine, [request], cancel, progress), request)
