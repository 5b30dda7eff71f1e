"""Streams: the loop's tokens one by one, for `for` and for `async for`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

from nextoken.completion import Completion, Token
from nextoken.engine import CancelFlag, Engine
from nextoken.loop import Batch
from nextoken.request import Request

T = TypeVar("T")


class TokenStream(Generator[Token, None, None]):
    """What `llm.stream` returns: a generator of Tokens that can also tell how far it is.

    Nothing is computed before the first `next`. Closing it, or dropping it, frees its cache at once. It may be read
    from any thread, by one at a time: RuntimeError for a second one.
    """

    def __init__(self, batch: Batch, request: Request) -> None:
        self._request = request
        self._tokens: Any = _tokens(batch)  # a generator

    @property
    def completion(self) -> Completion:
        """The answer so far, with usage and timings; `finish_reason` is "cancelled" until it has ended."""
        return self._request.completion()

    def send(self, value: None) -> Token:
        token: Token = self._alone(self._tokens.send, value)
        return token

    def throw(self, *error: Any) -> Token:
        token: Token = self._alone(self._tokens.throw, *error)
        return token

    def close(self) -> None:
        self._alone(self._tokens.close)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a TokenStream can not be pickled or copied: its pass belongs to one model in one process"
        )

    def _alone(self, step: Callable[..., T], *arguments: Any) -> T:
        """A generator refuses a second reader itself. A lock of ours could stay locked when Ctrl-C comes beside it."""
        try:
            return step(*arguments)
        except ValueError:
            if self._tokens.gi_running:
                raise RuntimeError(
                    "this stream is being read by another thread, or from its own callback"
                ) from None
            raise


def _tokens(batch: Batch) -> Generator[Token, None, None]:
    try:
        while not batch.done:
            yield from batch.step()
        batch.raise_failures()
    finally:
        batch.close()


async def stream_async(
    engine: Engine, prepare: Callable[[Any], Batch], cancel: Any = None
) -> AsyncGenerator[Token, None]:
    """The tokens of the batch that `prepare(cancel)` makes; it and every pass run in a worker thread.

    A cancelled task stops the pass it waits for, and the cache is free before the CancelledError goes on.
    """
    stop = threading.Event()
    flag = CancelFlag(stop, cancel)
    batch: Batch | None = None
    try:
        batch = await _in_worker(engine, lambda: prepare(flag), stop)
        while not batch.done:
            for token in await _in_worker(engine, batch.step, stop):
                yield token
        batch.raise_failures()
    finally:
        stop.set()
        if batch is not None:
            batch.close()


async def _in_worker(engine: Engine, work: Callable[[], T], stop: threading.Event) -> T:
    """`work()` in a thread. If the task is cancelled: set `stop`, wait for the work to notice, then give way."""
    import asyncio  # here: it loads OpenSSL, megabytes that most programs of ours never need

    def run() -> T:
        try:
            return work()
        except StopIteration as error:  # a future can not carry it (PEP 479)
            raise RuntimeError("a callback raised StopIteration") from error

    future = asyncio.get_running_loop().run_in_executor(engine.workers(), run)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):  # once more: the work is stopping already
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # whatever it was, the cancellation came first
        raise
