"""A session: the KV cache of one sequence as an object to append to, fork, rewind, save and look at."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.answer import Vocabulary
from nextoken.completion import Token
from nextoken.engine import Engine, LogitsWanted, Progress
from nextoken.errors import ContextLengthError, ModelFormatError
from nextoken.inputs import Ids, TokenIds, check_ids
from nextoken.processor import call_processor

if TYPE_CHECKING:
    from nextoken.llm import LLM
    from nextoken.sampling import SamplingParams
    from nextoken.text import StreamDecoder


class Predicted(NamedTuple):
    """What `predict` did last: it goes on while it is fed what it returned, and nothing else has changed the cache."""

    id: int
    version: int  # of the cache after it
    answer_start: int
    decoder: StreamDecoder | None
    params: SamplingParams
    sampler: _native.Sampler  # that has seen `id` too


class Session:
    """One sequence and the keys and values computed for it.

    >>> with llm.session() as s:
    ...     token = s.predict(llm.tokenizer.encode("Once upon"))
    ...     while len(s) < 50:
    ...         token = s.predict([token.id])

    Made by `llm.session()`. Whatever is appended in whatever pieces, after whatever forks and rewinds, the logits of
    a position are the same bits. After a failed or cancelled call a session is as it was before it. Calls from several
    threads take turns, and each is whole; what depends on a session staying as it is (`predict`, the stream of a chat)
    raises RuntimeError once another call has changed it.
    """

    def __init__(self, llm: LLM, cache: _native.Cache) -> None:
        self._llm = llm
        self._engine: Engine = llm._engine
        self._cache = cache
        self._last: Predicted | None = None

    def append(
        self,
        ids: TokenIds,
        logits: LogitsWanted = "last",
        *,
        cancel: Any = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32] | None:
        """Run the model over `ids` behind what is there, and keep their keys and values.

        Returns None ("none"), the logits behind the last id, float32 (V,) ("last"), or those of every id, float32
        (T, V) ("all"). `cancel.is_set()` is asked every 50 ms or less, `progress(done, total)` counts tokens.

        Raises TypeError and ValueError for bad ids, ContextLengthError if they do not fit into `n_ctx`,
        NumericalError if the model computes NaN, Cancelled, ClosedError, MemoryError.
        """
        if logits not in ("none", "last", "all"):
            raise ValueError(f'logits must be "none", "last" or "all", got {logits!r}')
        checked = self._check_new(ids)
        return self._engine.append([self._cache], [checked], logits, cancel, progress)[0]

    def predict(
        self,
        ids: TokenIds,
        params: SamplingParams | None = None,
        *,
        cancel: Any = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Token:
        """Append `ids`, choose the next token from the last row: one native call. The token itself is not appended.

        Fed the id it returned last, again and again, it is the loop of `llm.stream` step by step: with the same
        `seed` it draws the same tokens. An answer is what follows the ids of the last call with other ones: the
        presence and frequency penalties count from there. Stop conditions and `max_tokens` are the caller's; EOS is
        returned as any other token. What a Token has no place for (n, prompt_logprobs, profile) is a ValueError.
        Raises as `append`, TypeError or ValueError for bad options, and RuntimeError if another thread changes the
        session meanwhile.
        """
        chosen = self._llm._intake.params(params, options)
        check_predict(chosen)
        version = self._cache.version  # before its ids are looked at: what comes between is noticed
        new = self._check_new(ids)
        n_past = len(self._cache) + len(new)
        last = self._last
        if last is not None and (last.version != version or new.tolist() != [last.id]):
            last = None
        answer_start = n_past if last is None else last.answer_start
        tokenizer = self._llm._tokenizer.get_or_none()
        if last is not None and last.params == chosen:
            sampler = last.sampler
        else:
            past = self._past(new)
            sampler = self._llm._intake.sampler(chosen)
            sampler.observe_prompt(past[:answer_start])
            sampler.observe(past[answer_start:])

        start = time.perf_counter()
        if chosen.logits_processor is None:
            (pick,) = self._engine.predict([self._cache], [new], [sampler], cancel, progress, [version])
        else:
            past = self._past(new)
            (row,) = self._engine.append([self._cache], [new], "last", cancel, progress, [version])
            assert row is not None
            changed = call_processor(self._engine, chosen.logits_processor, past.tolist(), row)
            pick = sampler.choose(changed, n_past, raw=row)
        ms = (time.perf_counter() - start) * 1e3
        sampler.observe([pick.id])

        decoder = None if last is None else last.decoder
        if decoder is None and tokenizer is not None:
            decoder = tokenizer.stream_decoder()
        self._last = Predicted(pick.id, version + 1, answer_start, decoder, chosen, sampler)
        return Vocabulary(tokenizer).token(pick, chosen, decoder, n_past - answer_start, ms)

    def fork(self) -> Session:
        """A second session with the same tokens; memory is shared until one of the two writes to it."""
        self._engine.check()
        return Session(self._llm, self._engine.keep(self._cache.fork()))

    def rewind(self, n: int) -> None:
        """Forget the last `n` tokens; the next append continues from there. Copies nothing.

        Raises ValueError if `n` is negative or exceeds len(self), ClosedError after close().

        >>> s.append([1, 2, 3], logits="none"); s.rewind(1); len(s)
        2
        """
        self._engine.check()
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"n must be an int, got {type(n).__name__}")
        if not 0 <= n <= len(self):
            raise ValueError(f"can not rewind {n} tokens: the session holds {len(self)}")
        self._cache.rewind(int(n))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write tokens, keys and values to a file that `llm.session(path)` reads.

        The file is whole or not there: it is written beside its place, synchronised, and moved over what was there.
        Raises OSError, and leaves the previous file as it was.
        """
        from nextoken import session_file  # here: its checksums load OpenSSL, megabytes

        self._engine.check()
        cache = self._cache
        session_file.write(
            path, session_file.Header.of(self._engine.model, cache), np.asarray(cache.export())
        )

    @property
    def token_ids(self) -> list[int]:
        """The ids appended so far."""
        self._engine.check()
        return list(self._cache.ids())

    def keys(self, layer: int) -> npt.NDArray[np.float32]:
        """The keys of a layer, rotated, as float32 (T, n_kv_heads, head_dim): a read-only copy.

        Of models with attention to latents (DeepSeek, MiniCPM 3) what is cached instead: (T, 1, rank + rotated
        elements).

        Raises IndexError for a layer the model does not have.
        """
        return self._look(self._cache.keys, layer)

    def values(self, layer: int) -> npt.NDArray[np.float32]:
        """The values of a layer as float32 (T, n_kv_heads, head_dim): a read-only copy. Of latents (T, 1, rank)."""
        return self._look(self._cache.values, layer)

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values held, those shared with forks included."""
        return 0 if self.closed else self._cache.nbytes

    @property
    def n_ctx(self) -> int:
        """The most tokens it can hold."""
        return self._engine.n_ctx

    @property
    def closed(self) -> bool:
        return self._cache.closed

    def close(self) -> None:
        """Free the memory. Twice does nothing; using it afterwards raises ClosedError, its length and size are 0."""
        self._cache.close()

    def __len__(self) -> int:
        return len(self._cache)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<nextoken.Session closed>"
        return f"<nextoken.Session {len(self)} tokens, {self.nbytes} bytes>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Session can not be pickled or copied: use fork(), or save(path) and llm.session(path)"
        )

    def _look(self, read: Any, layer: int) -> npt.NDArray[np.float32]:
        self._engine.check()
        n_layers = self._engine.model.spec.n_layers
        if not hasattr(layer, "__index__"):
            raise TypeError(f"layer must be an int, got {type(layer).__name__}")
        if not 0 <= layer < n_layers:
            raise IndexError(f"layer {layer} of a model with {n_layers} layers")
        array: npt.NDArray[np.float32] = read(layer.__index__())
        array.flags.writeable = False
        return array

    def _check_new(self, ids: TokenIds, what: str = "token ids") -> Ids:
        self._engine.check()
        checked = check_ids(ids, self._engine.vocab_size, n_ctx=self.n_ctx, n_held=len(self), what=what)
        if len(checked) == 0:
            raise ValueError(f"no {what} to append")
        return checked

    def _past(self, new: Ids) -> Ids:
        """What the cache holds, and `new` behind it."""
        return np.concatenate([np.asarray(self._cache.ids(), np.int32), new])

    def _rewind_to(self, n: int) -> None:
        self._cache.rewind(len(self._cache) - n)


def check_predict(params: SamplingParams) -> None:
    """Raises ValueError for what one Token, chosen behind what the cache holds, has no place for."""
    if params.n != 1:
        raise ValueError(f"n={params.n}: a session holds one answer; use generate")
    if params.prompt_logprobs is not None:
        raise ValueError("prompt_logprobs is for generate, chat and stream: a Token tells of itself alone")
    if params.profile:
        raise ValueError("profile=True is for generate, chat and stream: a Token carries no timings")
    if not params.use_cache:
        raise ValueError("use_cache=False is for generate, chat and stream: a session is the cache")


def open_session(llm: LLM, path: str | os.PathLike[str]) -> Session:
    """The session that `save` wrote, for `llm`. See `LLM.session`."""
    from nextoken import session_file

    engine = llm._engine
    engine.check()
    header, payload = session_file.read(path)
    if header.fingerprint != engine.model.fingerprint:
        raise ModelFormatError(
            f"{os.fspath(path)}: this session was saved with another model "
            f"(fingerprint {header.fingerprint[:16]}, this model has {engine.model.fingerprint[:16]})",
            path=str(os.fspath(path)),
            field="fingerprint",
        )
    if header.kv_dtype != engine.kv_dtype:
        raise ModelFormatError(
            f"{os.fspath(path)}: this session was saved with kv_dtype={header.kv_dtype!r}, "
            f"the model was opened with {engine.kv_dtype!r}",
            path=str(os.fspath(path)),
            field="kv_dtype",
        )
    try:
        ids = check_ids(header.ids, engine.vocab_size, n_ctx=engine.n_ctx)
    except ContextLengthError:
        raise
    except (TypeError, ValueError) as error:
        raise ModelFormatError(
            f"{os.fspath(path)}: {error}", path=str(os.fspath(path)), field="ids"
        ) from None
    cache = _native.Cache.restore(engine.model, engine.kv_dtype, engine.n_ctx, ids, payload)
    return Session(llm, engine.keep(cache))
