"""From what the user named to a model in memory: weights and tokenizer are read side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextoken import _native
from nextoken import device as devices
from nextoken.architectures import plan
from nextoken.checkpoints.opening import open_checkpoint
from nextoken.checkpoints.tensors import check_dtype, with_dtype
from nextoken.engine import CancelFlag, Engine, Progress
from nextoken.errors import Error
from nextoken.log import log
from nextoken.threads import choose_threads

if TYPE_CHECKING:
    from nextoken.tokenizer import Tokenizer

KV_DTYPES = ("f16", "f32", "q8")


@dataclass
class Loaded:
    """What an LLM is made of."""

    engine: Engine
    tokenizer: PendingTokenizer
    path: str
    name: str


class PendingTokenizer:
    """A tokenizer that a thread is building; whoever needs it first waits."""

    def __init__(self, build: Callable[[], Tokenizer]) -> None:
        self._builder: Callable[[], Tokenizer] | None = build
        self._tokenizer: Tokenizer | None = None
        self._error: Error | None = None
        self._thread = threading.Thread(target=self._build, name="nextoken-tokenizer")
        self._thread.start()

    def _build(self) -> None:
        try:
            assert self._builder is not None
            self._tokenizer = self._builder()
        except Error as error:
            self._error = error
        except Exception as error:
            from nextoken.errors import TokenizerError

            self._error = TokenizerError(f"the tokenizer could not be built: {error!r}")
        finally:
            self._builder = None  # nor what it holds: the metadata of a large vocabulary are not needed twice

    def wait(self) -> None:
        self._thread.join()

    def get(self) -> Tokenizer:
        """The tokenizer, or the error that building it ended with."""
        self._thread.join()
        if self._tokenizer is None:
            assert self._error is not None
            raise self._error.with_traceback(None)
        return self._tokenizer

    def get_or_none(self) -> Tokenizer | None:
        self._thread.join()
        return self._tokenizer


def load(
    model: str | bytes | os.PathLike[Any],
    *,
    n_ctx: int | None,
    n_threads: int | None,
    kv_dtype: str,
    dtype: str | None,
    device: str,
    file: str | None,
    revision: str | None,
    allow_unused: bool,
    check: bool,
    progress: Progress | None,
    cancel: Any,
) -> Loaded:
    """What `LLM` promises of its constructor. A failure leaves no thread, descriptor or memory behind."""
    _check_choice("kv_dtype", kv_dtype, KV_DTYPES)
    if dtype is not None:
        check_dtype(dtype)
    devices.check_name(device)
    for what, value in (("allow_unused", allow_unused), ("check", check)):
        if not isinstance(value, bool):
            raise TypeError(f"{what} must be a bool, got {type(value).__name__}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable(done, total) or None, got {type(progress).__name__}")
    flag = None if cancel is None else CancelFlag(cancel)
    threads = choose_threads(n_threads)
    asked = check_n_ctx(n_ctx)
    path, name = find(model, progress, cancel, file, revision)
    checkpoint = open_checkpoint(path, allow_unused=allow_unused)
    try:
        layout = plan(checkpoint, asked, allow_unused=allow_unused)
        trained: int = layout.spec.n_ctx
        layout.spec.kv_bytes(kv_dtype, 1)  # ValueError if this model's cache can not be of that type
        if asked is not None and asked > trained:
            log.warning("n_ctx=%d is beyond the %d positions that %s was trained for", asked, trained, name)
        tokenizer = PendingTokenizer(checkpoint.tokenizer_builder())
        try:
            native = devices.load_on(
                device,
                lambda card: _native.Model.load(
                    layout.spec,
                    layout.tensors if dtype is None else with_dtype(layout.tensors, dtype),
                    [os.fsencode(path) for path in checkpoint.paths],
                    header=checkpoint.headers,
                    n_threads=threads,
                    device=card,
                    check=check,
                    progress=progress,
                    cancel=flag,
                ),
            )
        except BaseException:
            tokenizer.wait()
            raise
    finally:
        checkpoint.close()
    engine = Engine(native, kv_dtype, trained if asked is None else asked)
    return Loaded(engine, tokenizer, os.fsdecode(path), name)


def find(
    model: Any, progress: Progress | None, cancel: Any, file: str | None = None, revision: str | None = None
) -> tuple[str | bytes, str]:
    """The path of a model's file or folder and the name to call it by.

    What is on the disk goes before the catalogue, and the catalogue before the hub.
    """
    path: str | bytes = os.fspath(model)
    shown = os.fsdecode(path)
    if "\0" in shown:
        raise ValueError("the model's path has a NUL character in it")
    if shown == "":
        raise ValueError("the model's path is empty")
    if file is None and revision is None and os.path.lexists(path):
        return path, _name_on_disk(shown)

    from nextoken.checkpoints import catalogue, hub  # here: what is on the disk needs neither

    hub.check_names(file, revision)
    on_hub = not os.path.lexists(path) and not catalogue.is_name(shown) and hub.is_repository(shown)
    if (file is not None or revision is not None) and not on_hub:
        raise ValueError(
            "file and revision are for models of the hub, 'owner/name', that are no file or folder here"
        )
    if on_hub:
        found = hub.fetch(shown, file, revision, progress, cancel)
        return found, shown.split("/")[1] if file is None else os.path.basename(found).removesuffix(".gguf")
    if catalogue.is_name(shown):
        return str(catalogue.fetch(shown, progress, cancel)), shown
    if os.sep not in shown and not shown.endswith(".gguf"):
        names = ", ".join(catalogue.CATALOGUE)
        raise FileNotFoundError(2, f"no such file, and no name in the catalogue ({names})", shown)
    return path, _name_on_disk(shown)


def _name_on_disk(path: str) -> str:
    if not os.path.isdir(path):
        return os.path.basename(path).removesuffix(".gguf")
    if os.path.exists(os.path.join(path, "config.json")):
        return os.path.basename(os.path.abspath(path))
    raise IsADirectoryError(21, "a folder without config.json is no model", path)


def _check_choice(what: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{what}={value!r} is not available, choose from {', '.join(map(repr, choices))}")


def check_n_ctx(n_ctx: Any) -> int | None:
    """`n_ctx` as an int. Raises TypeError or ValueError for what is no context length."""
    if n_ctx is None:
        return None
    if isinstance(n_ctx, bool) or not hasattr(n_ctx, "__index__"):
        raise TypeError(f"n_ctx must be an int or None, got {type(n_ctx).__name__}")
    n = int(n_ctx.__index__())
    if not 1 <= n < 2**31:
        raise ValueError(f"n_ctx must be 1 to {2**31 - 1}, got {n}")
    return n
