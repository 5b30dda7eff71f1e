"""The model as a Python object: `LLM` checks what it is given, and hands it to the loop."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from nextoken.completion import Completion, Token
from nextoken.engine import LogitsWanted, Progress
from nextoken.inputs import Prompt, TokenIds, check_room, split_prompts
from nextoken.logits import logits_of
from nextoken.loop import Batch
from nextoken.open_model import OpenModel
from nextoken.sampling import SamplingParams
from nextoken.scoring import score_chunks
from nextoken.session import Session, open_session
from nextoken.stream import TokenStream, stream_async

if TYPE_CHECKING:
    from nextoken.explain import Explanation

Messages = Sequence[Mapping[str, Any]]


class LLM(OpenModel):
    """A language model: a function from token ids to logits, and the loop around it.

    >>> llm = LLM("smollm2-135m")
    >>> for token in llm.stream("The capital of France is", max_tokens=8):
    ...     print(token, end="", flush=True)

    `model` is the path of a GGUF file or of a Hugging Face folder with safetensors, a name of the catalogue, or
    "owner/name" of the Hugging Face hub (needs the extra `hub`): its folder, or the one file that the pattern `file`
    ("*Q4_K_M.gguf") fits, of the branch, tag or commit `revision`. What is not here is downloaded the first time.
    `n_ctx` is the most tokens of a sequence, the model's trained context if None. `n_threads` is the number of
    physical cores this process may use if None. `kv_dtype` is the type of cached keys and values, "f16", "f32"
    or "q8": int8 with a scale a key and head, half the memory of "f16".
    `dtype` quantises or converts the matrices of a float checkpoint while it is read: "q8_0", "q4_0", "q4_k", "f16"
    and so on. `device` is "cpu", "cuda", or "auto": a card if there is one that runs this model, else the CPU, and the
    log says why. The bits are the same. `progress(done, total)` is told of bytes while the model is downloaded, and
    again while it is read; `cancel` is an event that stops both.

    `allow_unused=True` leaves out tensors and hyper-parameters that this version does not know, with a warning; what is
    known to change the answers is refused all the same. `check=False` loads weights that are not finite numbers: a
    pass that meets them raises NumericalError.

    Any number of threads may use one LLM: their passes take turns. A forked child may not (start it with 'spawn').
    Close it, or use it in a `with`, to free the memory at a known moment.

    Raises OSError if the file can not be read, ModelFormatError if it is damaged, UnsupportedModelError if this
    version does not run it, DeviceUnavailableError for a card that is not there, NumericalError for weights that are
    not finite, TypeError or ValueError for bad arguments, Cancelled, MemoryError.
    """

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
        ids = [self._intake.check_ids(row, f"token ids of row {i}") for i, row in enumerate(rows)]
        return logits_of(self._engine, ids)

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

        Raises as `generate`, Cancelled, and ValueError for options that one Token has no place for, see
        `Session.predict`.
        """
        chosen = self._intake.params(params, options)
        ids = self._intake.one_prompt(prompt)
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

        A prompt is text or token ids. How to choose is said by a SamplingParams or by its fields as keywords; without
        a `seed` each prompt draws its own, with one a prompt has the answer that it has alone. A set
        `cancel` ends with what there is and `finish_reason="cancelled"`; `progress(done, total)` counts tokens read and
        written. With `n` above 1 the answers are in `.choices`.

        Raises TypeError and ValueError for bad arguments, TokenizerError, ContextLengthError if a prompt leaves no room
        for a token, NumericalError if the model computes NaN, ClosedError, MemoryError; what a logits processor raises.
        Errors on the way carry `.partial_text` and `.partial_tokens`. A NumericalError comes when the other prompts are
        answered: `.completions` has their answers, and None for those that failed.
        """
        chosen = self._intake.params(params, options)
        prompts, single = split_prompts(prompt)
        requests = [
            self._intake.request(self._intake.encode(one, i), chosen) for i, one in enumerate(prompts)
        ]
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
        chosen = self._intake.single(self._intake.params(params, options))
        return self._intake.stream(
            self._intake.request(self._intake.one_prompt(prompt), chosen), cancel, progress
        )

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
        chosen = self._intake.single(self._intake.params(params, options))

        def prepare(flag: Any) -> Batch:
            return Batch(
                self._engine, [self._intake.request(self._intake.one_prompt(prompt), chosen)], flag, progress
            )

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
        chosen = self._intake.params(params, options)
        if session is not None:
            self._intake.own(session)
        if session is not None or stream:
            self._intake.single(chosen)
        if session is not None and not chosen.use_cache:
            raise ValueError("use_cache=False computes everything anew: it takes no session")
        self._engine.check()
        ids = self._intake.check_ids(self.tokenizer.encode_chat(messages), "token ids of the conversation")
        request = self._intake.request(ids, chosen, session=session, kind="chat")
        if stream:
            return self._intake.stream(request, cancel, progress)
        Batch(self._engine, [request], cancel, progress).run()
        return request.completion()

    def explain(
        self, prompt: Prompt, params: SamplingParams | None = None, *, top: int = 10, **options: Any
    ) -> Explanation:
        """The loop laid open: `max_tokens` passes (1 if not given) with tokens, shapes, candidates and sampler stages.

        `top` candidates are shown. The tokens are those of `generate`. Raises as `generate`, and ValueError for
        options that change what is shown in no way (`stop`, `logprobs`, `profile` and the like).

        >>> print(llm.explain("2 + 2 =", max_tokens=2))
        """
        from nextoken.explain import check_options, explain

        chosen = self._intake.single(self._intake.params(params, options))
        top = check_options(chosen, top)
        ids = self._intake.one_prompt(prompt)
        check_room(len(ids), self.n_ctx)
        return explain(self, ids.tolist(), prompt if isinstance(prompt, str) else None, chosen, top=top)

    def score(
        self, text: Prompt, *, cancel: Any = None, progress: Progress | None = None
    ) -> npt.NDArray[np.float32]:
        """The log-probability of each token given those before it: float32 (T-1,), at constant memory.

        `text` is text or ids, up to `n_ctx` of them. Raises as `generate`, and Cancelled.
        """
        ids = self._intake.one_prompt(text)
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
        checked = self._intake.new_ids(sessions, ids)
        if not checked:
            return []
        return self._engine.append([s._cache for s in sessions], checked, logits, cancel, progress)
