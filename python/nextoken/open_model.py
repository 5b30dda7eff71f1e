"""A model that is open: how it was opened, what can be told of it, and how it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from nextoken.engine import Engine, Progress
from nextoken.intake import Intake
from nextoken.loading import Loaded, load

if TYPE_CHECKING:
    from nextoken.tokenizer import Tokenizer


M = TypeVar("M", bound="OpenModel")


class OpenModel:
    """What an LLM is, apart from what it does. See `LLM` for the arguments."""

    def __init__(
        self,
        model: str | bytes | os.PathLike[Any],
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        kv_dtype: str = "f16",
        dtype: str | None = None,
        device: str = "cpu",
        file: str | None = None,
        revision: str | None = None,
        allow_unused: bool = False,
        check: bool = True,
        progress: Progress | None = None,
        cancel: Any = None,
    ) -> None:
        loaded: Loaded = load(
            model,
            n_ctx=n_ctx,
            n_threads=n_threads,
            kv_dtype=kv_dtype,
            dtype=dtype,
            device=device,
            file=file,
            revision=revision,
            allow_unused=allow_unused,
            check=check,
            progress=progress,
            cancel=cancel,
        )
        self._engine: Engine = loaded.engine
        self._tokenizer = loaded.tokenizer
        self.path: str = loaded.path
        self.name: str = loaded.name
        self._intake = Intake(loaded.engine, loaded.tokenizer, loaded.name)

    __init__.__qualname__ = "LLM.__init__"  # as errors about its arguments name it

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
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda"."""
        return "cuda" if self.isa == "cuda" else "cpu"

    @property
    def isa(self) -> str:
        """The instruction set its kernels use: one of `nextoken.kernels.isas()`, such as "avx512" or "dotprod".

        On a card it is "cuda".
        """
        return self._engine.model.isa

    @property
    def nbytes(self) -> int:
        """Bytes of weights in memory."""
        return self._engine.model.nbytes

    @property
    def closed(self) -> bool:
        return self._engine.closed

    def close(self) -> None:
        """Free weights, threads and every session. Work in flight in other threads ends with ClosedError."""
        self._engine.close()

    def __enter__(self: M) -> M:
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
