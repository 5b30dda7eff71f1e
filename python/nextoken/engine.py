"""The loaded model and the manners around it: who may call, what stops a pass, how all of it ends."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.errors import Cancelled, ClosedError
from nextoken.inputs import TokenIds

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Progress: TypeAlias = Callable[[int, int], None]
LogitsWanted: TypeAlias = Literal["none", "last", "all"]
Rows: TypeAlias = "npt.NDArray[np.float32] | None"
Result = TypeVar("Result")

N_WORKERS = 8
EXIT_SECONDS = 5  # for passes to notice; they look every 20 ms

_live: weakref.WeakSet[Engine] = weakref.WeakSet()


class CancelFlag:
    """Set as soon as one of its events is. The native code asks `is_set()` between pieces of work."""

    __slots__ = ("_events",)

    def __init__(self, *events: Any) -> None:
        for event in events:
            if event is not None and not callable(getattr(event, "is_set", None)):
                raise TypeError(f"cancel must be a threading.Event or None, got {type(event).__name__}")
        self._events = tuple(event for event in events if event is not None)

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


class Engine:
    """A native model, and the calls that sessions and the loop make of it. Any thread may use it; passes queue."""

    def __init__(self, model: _native.Model, kv_dtype: str, n_ctx: int) -> None:
        self.model = model
        self.kv_dtype = kv_dtype
        self.n_ctx = n_ctx
        self.vocab_size: int = model.spec.vocab_size
        self._pid = os.getpid()
        self.closed = False
        self._exiting = False
        self._in_callback: set[int] = set()  # threads inside a function of the caller's
        self._caches: weakref.WeakSet[_native.Cache] = weakref.WeakSet()
        self._inside: set[int] = set()  # threads in a pass
        self._workers: ThreadPoolExecutor | None = None
        _live.add(self)

    def check(self) -> None:
        """Raises RuntimeError in a forked child or inside a callback, ClosedError after close()."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                f"this LLM was created in process {self._pid} and its threads are not here, in its fork "
                f"{os.getpid()}: load the model in the child, or start it with multiprocessing's 'spawn'"
            )
        if threading.get_ident() in self._in_callback:
            raise RuntimeError(
                "a logits processor or progress callback must not use the model that called it"
            )
        if self.closed:
            self._fall_silent_at_exit()
            raise ClosedError("the model was closed")

    def close(self) -> None:
        """Stop the pass in flight and free the model and every cache. Twice does nothing."""
        if os.getpid() != self._pid:
            return  # nothing here is ours to stop; the parent's memory goes with this process
        if threading.get_ident() in self._in_callback:
            raise RuntimeError(
                "a logits processor or progress callback must not close the model that called it"
            )
        self.closed = True
        self.model.close()
        for cache in list(self._caches):
            cache.close()
        if self._workers is not None:
            self._workers.shutdown(wait=False)

    @contextmanager
    def calling_back(self) -> Iterator[None]:
        """While a function of the caller's runs in this thread: using the model from it is an error, no deadlock."""
        me = threading.get_ident()
        try:  # around add() too: Ctrl-C can come at once behind it
            self._in_callback.add(me)
            yield
        finally:
            self._in_callback.discard(me)

    def guarded(self, progress: Progress | None) -> Progress | None:
        """`progress`, called where re-entering the model is an error."""
        if progress is None:
            return None
        if not callable(progress):
            raise TypeError(f"progress must be callable(done, total) or None, got {type(progress).__name__}")

        def call(done: int, total: int) -> None:
            with self.calling_back():
                progress(done, total)

        return call

    def workers(self) -> ThreadPoolExecutor:
        """Threads in which `astream` waits for passes. Few: the passes queue anyway."""
        self.check()
        if self._workers is None:
            from concurrent.futures import ThreadPoolExecutor

            self._workers = ThreadPoolExecutor(N_WORKERS, thread_name_prefix="nextoken")
        return self._workers

    def keep(self, cache: _native.Cache) -> _native.Cache:
        """Remember a cache, so that close() frees it."""
        self._caches.add(cache)
        return cache

    def new_cache(self) -> _native.Cache:
        """An empty cache; it takes no memory before tokens come."""
        self.check()
        return self.keep(_native.Cache(self.model, self.kv_dtype, self.n_ctx))

    def append(
        self,
        caches: Sequence[_native.Cache],
        ids: Sequence[TokenIds],
        logits: LogitsWanted,
        cancel: Any = None,
        progress: Progress | None = None,
        versions: Sequence[int] = (),
        profile: _native.Profile | None = None,
    ) -> list[Rows]:
        """One pass over several sequences: all advance, or on any error none does. See `LLM.append`.

        RuntimeError if `versions` is given and a cache has another one by now (-1 stands for any).
        """
        return self._pass(_native.append, caches, ids, logits, cancel, progress, versions, profile)

    def predict(
        self,
        caches: Sequence[_native.Cache],
        ids: Sequence[TokenIds],
        samplers: Sequence[_native.Sampler],
        cancel: Any = None,
        progress: Progress | None = None,
        versions: Sequence[int] = (),
        profile: _native.Profile | None = None,
    ) -> list[_native.Pick]:
        """One pass that also chooses: append, last row, choose. The logits stay native."""
        return self._pass(_native.predict, caches, ids, list(samplers), cancel, progress, versions, profile)

    def _pass(
        self,
        run: Callable[..., list[Result]],
        caches: Sequence[_native.Cache],
        ids: Sequence[TokenIds],
        wanted: LogitsWanted | list[_native.Sampler],
        cancel: Any,
        progress: Progress | None,
        versions: Sequence[int],
        profile: _native.Profile | None,
    ) -> list[Result]:
        self.check()
        me = threading.get_ident()
        try:
            self._inside.add(me)
            return run(
                self.model,
                list(caches),
                list(ids),
                wanted,
                versions=versions,
                cancel=None if cancel is None else CancelFlag(cancel),  # close() is noticed without
                progress=self.guarded(progress),
                profile=profile,
            )
        except (Cancelled, ClosedError):
            if self.closed:
                self._inside.discard(me)
                self._fall_silent_at_exit()
                raise ClosedError("the model was closed during this call") from None
            raise
        finally:
            self._inside.discard(me)

    def _fall_silent_at_exit(self) -> None:
        """Once the interpreter leaves, an error in a daemon thread would be noise: it waits for the end instead."""
        if self._exiting and threading.current_thread() is not threading.main_thread():
            threading.Event().wait()

    def leave(self) -> None:
        """close(), at interpreter exit, when only daemon threads are left.

        None may be inside a native call when the interpreter is torn down: it could not come back, and the process
        would abort. So their passes are stopped and waited for, and the short calls between passes given time.
        """
        self._exiting = True
        self._in_callback.clear()
        self.close()
        for _ in range(100 * EXIT_SECONDS):
            if not self._inside:
                break
            time.sleep(0.01)
        if threading.active_count() > 1:
            time.sleep(0.03)


@atexit.register
def _close_all() -> None:
    for engine in list(_live):
        engine.leave()
