"""The model as a Python object: `LLM` checks what it is given, and hands it to the loop."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from nextoken.completion import Completion, Token
from nextoken.engine import Engine, LogitsWanted, Progress
from nextoken.inputs import Ids, Prompt, TokenIds, check_ids, check_room, split_prompts
from nextoken.loading import Loaded, load
from nextoken.loop import Batch
from nextoken.request import Request, n_decodable
from nextoken.sampling import SamplingParams
from nextoken.scoring import score_chunks
from nextoken.session import Session, open_session
from nextoken.stream import TokenStream, stream_async

if TYPE_CHECKING:
    from nextoken import _native
    from nextoken.explain import Explanation
    from nextoken.tokenizer import Tokenizer

LOGITS_ROWS = 512  # of one pass of llm(ids): a batch of short rows shares passes, a long row is cut
Messages = Sequence[Mapping[str, Any]]


class LLM:
    """A language model: a function from token ids to logits, and the loop around it.

    >>> llm = LLM("smollm2-135m")
    >>> for token in llm.stream("The capital of France is", max_tokens=8):
    ...     print(token, end="", flush=True)

    `model` is the path of a GGUF file, or a name of the catalogue, downloaded the first time.
    `n_ctx` is the most tokens of a sequence, the model's trained context if None. `n_threads` is the number of
    physical cores this process may use if None. `kv_dtype` is the type of cached keys and values, "f16" or "f32".
    `device` is "cpu" or "auto". `progress(done, total)` is told of bytes while the model is downloaded, and again while
    it is read; `cancel` is an event that stops both.

    Any number of threads may use one LLM: their passes take turns. A forked child may not (start it with 'spawn').
    Close it, or use it in a `with`, to free the memory at a known moment.

    Raises OSError if the file can not be read, ModelFormatError if it is damaged, UnsupportedModelError if this
    version does not run it, TypeError or ValueError for bad arguments, Cancelled, MemoryError.
    """

    def __init__(
        self,
        model: str | bytes | os.PathLike[Any],
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        kv_dtype: str = "f16",
        device: str = "cpu",
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> None:
        loaded: Loaded = load(
            model,
            n_ctx=n_ctx,
            n_threads=n_threads,
            kv_dtype=kv_dtype,
            device=device,
            progress=progress,
            cancel=cancel,
        )
        self._engine: Engine = loaded.engine
        self._tokenizer = loaded.tokenizer
        self.path: str = loaded.path
        self.name: str = loaded.name

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer. It is built while the weights load; the first use waits for it.

        Raises TokenizerError if the file has none, or one that is broken; ids still work then.
        """
        return self._tokenizer.get()

    @property
    def n_ctx(self) -> int:
        """The most tokens of a sequence, prompt and answer together."""
        return self._engine.n_ctx

    @property
    def n_threads(self) -> int:
        return self._engine.model.n_threads

    @property
    def kv_dtype(self) -> str:
        return self._engine.kv_dtype

    @property
    def vocab_size(self) -> int:
        """V, the width of a row of logits; may be more than the tokenizer has tokens."""
        return self._engine.vocab_size

    @property
    def isa(self) -> str:
        """The instruction set its kernels use: "scalar", "avx2", "avx512", "neon" or "dotprod"."""
        return self._engine.model.isa

    @property
    def nbytes(self) -> int:
        """Bytes of weights in memory."""
        return self._engine.model.nbytes

    @property
    def closed(self) -> bool:
        return self._engine.closed

    def __call__(self, input_ids: Any) -> npt.NDArray[np.float32] | list[npt.NDArray[np.float32]]:
        """The logits of every position: (B, T) ids to float32 (B, T, V); rows of different lengths to a list of (T, V).

        Every row starts from an empty cache. A row may have up to `n_ctx` ids.
        Raises TypeError for ids that are not two-dimensional, else as `Session.append`.
        """
        self._engine.check()
        rows, single = split_prompts(input_ids)
        if single or isinstance(rows[0], str):
            raise TypeError(
                "llm(ids) takes rows of token ids, [[1, 2, 3]]; for text use llm.tokenizer.encode"
            )
        ids = [self._check_ids(row, f"token ids of row {i}") for i, row in enumerate(rows)]
        lengths = {len(row) for row in ids}
        if len(lengths) > 1:
            separate = [np.empty((len(row), self.vocab_size), np.float32) for row in ids]
            self._fill(separate, ids)
            return separate
        out = np.empty((len(ids), lengths.pop(), self.vocab_size), np.float32)
        self._fill(list(out), ids)
        return out

    def _fill(self, out: list[npt.NDArray[np.float32]], ids: list[Ids]) -> None:
        """Logits of all `ids` into `out`: whole short rows together, long ones in pieces, the same bits anyway."""
        start = 0
        while start < len(ids):
            stop, n = start + 1, len(ids[start])
            while stop < len(ids) and n + len(ids[stop]) <= LOGITS_ROWS:
                n += len(ids[stop])
                stop += 1
            caches = [self._engine.new_cache() for _ in range(start, stop)]
            for at in range(0, len(ids[start]) if stop == start + 1 else 1, LOGITS_ROWS):
                pieces = [row[at : at + LOGITS_ROWS] for row in ids[start:stop]]
                for i, rows in enumerate(self._engine.append(caches, pieces, "all"), start):
                    out[i][at : at + LOGITS_ROWS] = rows
            start = stop

    def predict_next_token(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Token:
        """One forward pass, one token: what the model would say next. EOS is returned like any other.

        Raises as `generate`, and Cancelled.
        """
        chosen = self._params(params, options)
        ids = self._one_prompt(prompt)
        check_room(len(ids), self.n_ctx)
        return self.session().predict(ids, chosen, cancel=cancel, progress=progress)

    @overload
    def generate(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Completion: ...
    @overload
    def generate(
        self,
        prompt: Sequence[str] | Sequence[TokenIds],
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[Completion]: ...
    def generate(
        self,
        prompt: Any,
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Completion | list[Completion]:
        """Answer a prompt, or each prompt of a list; those of a list share their passes.

        A prompt is text or token ids. How to choose is said by a SamplingParams or by its fields as keywords. A set
        `cancel` ends with what there is and `finish_reason="cancelled"`; `progress(done, total)` counts tokens read and
        written. With `n` above 1 the answers are in `.choices`.

        Raises TypeError and ValueError for bad arguments, TokenizerError, ContextLengthError if a prompt leaves no room
        for a token, NumericalError if the model computes NaN, ClosedError, MemoryError; what a logits processor raises.
        Errors on the way carry `.partial_text` and `.partial_tokens`.
        """
        chosen = self._params(params, options)
        prompts, single = split_prompts(prompt)
        requests = [self._request(self._encode(one, i), chosen) for i, one in enumerate(prompts)]
        Batch(self._engine, requests, cancel, progress).run()
        completions = [request.completion() for request in requests]
        return completions[0] if single else completions

    def stream(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> TokenStream:
        """`generate`, token by token. Arguments are checked now, the first pass runs at the first `next`.

        The text of a token is held back while it may be the start of a stop string, or is half a character.
        `.completion` of the stream has the answer so far with usage and timings. Raises as `generate`.
        """
        chosen = self._single(self._params(params, options))
        return self._stream(self._request(self._one_prompt(prompt), chosen), cancel, progress)

    def astream(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> AsyncGenerator[Token, None]:
        """`stream` for asyncio: passes run in a worker thread, and a cancelled task stops the pass it waits for."""
        chosen = self._single(self._params(params, options))

        def prepare(flag: Any) -> Batch:
            return Batch(self._engine, [self._request(self._one_prompt(prompt), chosen)], flag, progress)

        return stream_async(self._engine, prepare, cancel)

    @overload
    def chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        *,
        session: Session | None = None,
        stream: Literal[False] = False,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Completion: ...
    @overload
    def chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        *,
        session: Session | None = None,
        stream: Literal[True],
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> TokenStream: ...
    def chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        *,
        session: Session | None = None,
        stream: bool = False,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Completion | TokenStream:
        """Answer a conversation, `[{"role": "user", "content": "hi"}]`, worded by the model's own chat template.

        With a `session`, the cache is kept: it is rewound to the longest common prefix with the conversation, and only
        what is new is computed (`usage.cached_tokens` tells how much was not). `stream=True` returns a TokenStream.
        Raises as `generate`, ChatTemplateError, and ValueError for a session of another model.
        """
        chosen = self._params(params, options)
        if session is not None:
            self._own(session)
        if session is not None or stream:
            self._single(chosen)
        if session is not None and not chosen.use_cache:
            raise ValueError("use_cache=False computes everything anew: it takes no session")
        self._engine.check()
        ids = self._check_ids(self.tokenizer.encode_chat(messages), "token ids of the conversation")
        request = self._request(ids, chosen, session=session, kind="chat")
        if stream:
            return self._stream(request, cancel, progress)
        Batch(self._engine, [request], cancel, progress).run()
        return request.completion()

    def explain(
        self, prompt: Prompt, params: SamplingParams | None = None, *, top: int = 10, **options: Any
    ) -> Explanation:
        """The loop laid open: `max_tokens` passes (1 if not given) with tokens, shapes, candidates and sampler stages.

        `top` candidates are shown. The tokens are those of `generate`. Raises as `generate`.

        >>> print(llm.explain("2 + 2 =", max_tokens=2))
        """
        from nextoken.explain import explain

        if isinstance(top, bool) or not isinstance(top, int):
            raise TypeError(f"top must be an int, got {type(top).__name__}")
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        chosen = self._single(self._params(params, options))
        if chosen.logits_processor is not None or not chosen.use_cache or chosen.stop:
            raise ValueError(
                "explain shows the plain loop: no logits_processor, no stop strings, use_cache=True"
            )
        ids = self._one_prompt(prompt)
        check_room(len(ids), self.n_ctx)
        text = prompt if isinstance(prompt, str) else self.tokenizer.decode(ids.tolist())
        return explain(self, ids.tolist(), text, chosen, top=top)

    def score(
        self, text: Prompt, *, cancel: Any = None, progress: Progress | None = None
    ) -> npt.NDArray[np.float32]:
        """The log-probability of each token given those before it: float32 (T-1,), at constant memory.

        `text` is text or ids, up to `n_ctx` of them. Raises as `generate`, and Cancelled.
        """
        ids = self._one_prompt(text)
        guarded = self._engine.guarded(progress)
        logprobs: list[float] = []
        for chunk in score_chunks(
            self._engine, self._engine.new_cache(), ids, 0, self.vocab_size, cancel, guarded
        ):
            logprobs += [logprob for _, logprob, _, _ in chunk]
        return np.array(logprobs, np.float32)

    def session(self, path: str | os.PathLike[str] | None = None) -> Session:
        """An empty session, or the one that `Session.save` wrote to `path`.

        Raises OSError, and ModelFormatError if the file is damaged, of another version or of another model.
        """
        if path is not None:
            return open_session(self, path)
        return Session(self, self._engine.new_cache())

    def append(
        self,
        sessions: Sequence[Session],
        ids: Sequence[TokenIds],
        logits: LogitsWanted = "last",
        *,
        cancel: Any = None,
        progress: Progress | None = None,
    ) -> list[npt.NDArray[np.float32] | None]:
        """`Session.append` for several sessions in one pass: `ids[i]` goes to `sessions[i]`. All advance, or none does.

        Raises as `Session.append`, and ValueError for a session that is there twice or belongs to another model.
        """
        self._engine.check()
        if logits not in ("none", "last", "all"):
            raise ValueError(f'logits must be "none", "last" or "all", got {logits!r}')
        if len(sessions) != len(ids):
            raise ValueError(f"{len(sessions)} sessions but {len(ids)} lists of ids")
        for session in sessions:
            self._own(session)
        if len({id(session) for session in sessions}) != len(sessions):
            raise ValueError("a session can not be in one pass twice")
        checked = [session._check_new(new) for session, new in zip(sessions, ids, strict=True)]
        if not checked:
            return []
        return self._engine.append([s._cache for s in sessions], checked, logits, cancel, progress)

    def close(self) -> None:
        """Free weights, threads and every session. Work in flight in other threads ends with ClosedError."""
        self._engine.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<nextoken.LLM {self.name} closed>"
        return f"<nextoken.LLM {self.name}, n_ctx={self.n_ctx}, {self.n_threads} threads, {self.isa}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "an LLM can not be pickled or copied: it holds weights and threads. "
            f"Hand over the path and open it there: LLM({self.path!r})"
        )

    def _params(self, params: SamplingParams | None, options: dict[str, Any]) -> SamplingParams:
        self._engine.check()
        chosen = SamplingParams.build(params, **options)
        chosen.check_vocab(self.vocab_size)
        return chosen

    def _sampler(self, params: SamplingParams) -> _native.Sampler:
        decodable = n_decodable(self._engine, self._tokenizer.get_or_none())
        return params.sampler(self.vocab_size, n_decodable=decodable)

    @staticmethod
    def _single(params: SamplingParams) -> SamplingParams:
        if params.n != 1:
            raise ValueError(f"n={params.n}: a stream or session holds one answer; use generate")
        return params

    def _own(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"expected a Session, got {type(session).__name__}")
        if session._engine is not self._engine:
            raise ValueError("this session belongs to another LLM")

    def _one_prompt(self, prompt: Any) -> Ids:
        prompts, single = split_prompts(prompt)
        if not single:
            raise TypeError("expected one prompt, a str or a list of token ids, got a list of prompts")
        return self._encode(prompts[0], None)

    def _encode(self, prompt: Any, index: int | None) -> Ids:
        """A prompt's ids, checked against vocabulary and context."""
        which = "" if index is None else f" {index}"
        if isinstance(prompt, str):
            prompt = self.tokenizer.encode(prompt, add_special_tokens=True)
        return self._check_ids(prompt, f"token ids of prompt{which}")

    def _check_ids(self, ids: Any, what: str) -> Ids:
        checked = check_ids(ids, self.vocab_size, n_ctx=self.n_ctx, what=what)
        if len(checked) == 0:
            raise ValueError(f"empty prompt: no {what}")
        return checked

    def _request(
        self,
        ids: Ids,
        params: SamplingParams,
        *,
        session: Session | None = None,
        kind: Literal["text", "chat"] = "text",
    ) -> Request:
        tokenizer = self._tokenizer.get_or_none()
        return Request(
            self._engine,
            ids,
            params,
            tokenizer,
            eos_ids=frozenset() if tokenizer is None else frozenset(tokenizer.eos_ids),
            session=session,
            model_name=self.name,
            kind=kind,
        )

    def _stream(self, request: Request, cancel: Any, progress: Progress | None) -> TokenStream:
        return TokenStream(Batch(self._engine, [request], cancel, progress), request)
