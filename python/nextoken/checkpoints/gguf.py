"""GGUF files as Python sees them: typed metadata, the tensor table, and errors that name the field.

The native reader has checked the file's structure; here its contents become ints, floats and strings in the ranges
that the caller states. Weights are read natively, through `GGUFCheckpoint.native`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from nextoken import _native
from nextoken.checkpoints.tensors import TensorInfo as TensorInfo
from nextoken.errors import ModelFormatError
from nextoken.log import log

if TYPE_CHECKING:
    from nextoken.tokenizer import Tokenizer
Default = TypeVar("Default")
StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_INTEGERS = ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64")
_FLOATS = ("f32", "f64")
_LARGEST = 2**63 - 1  # that the native side takes


class Metadata(Mapping[str, Any]):
    """The metadata, converted when asked for: int, float, bool, str, NumPy array of numbers, list of str."""

    def __init__(self, native: _native.GGUFFile) -> None:
        self._native = native
        self._keys = dict.fromkeys(native.keys())

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return self._native.get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def kind(self, key: str) -> str:
        """The stored type: "u32", "f32", "str", "arr[i32]". KeyError if there is no such key."""
        return self._native.kind(key)

    def length(self, key: str) -> int:
        """How many elements an array has, without converting it; 1 for any other value."""
        return self._native.length(key)


class GGUFCheckpoint:
    """An open GGUF file. Made by `open_gguf`; a context manager that gives the file descriptor back.

    Each `need_*` raises ModelFormatError, with the key in `.field`, when the key is missing, of another type or out
    of range; `get_*` returns a default when it is missing. `hparam_*` put "<architecture>." before the name.
    """

    def __init__(self, native: _native.GGUFFile) -> None:
        self.native = native
        self.path: str = native.path
        self.version: int | None = native.version
        self.size: int = native.size
        self.metadata = Metadata(native)
        self.paths: list[str] = [self.path]
        self.headers: _native.GGUFFile | list[_native.GGUFFile] | list[_native.File] = native

    def __enter__(self) -> GGUFCheckpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file descriptor back; metadata and tensor table stay. Twice does nothing."""
        self.native.close()

    def finish(self, spec: _native.Spec, n_ctx: int) -> None:
        """Put into the spec what the architecture can not know of this kind of checkpoint, loaded for `n_ctx`."""

    def tokenizer_builder(self) -> Callable[[], Tokenizer]:
        """What builds the tokenizer, and holds no more of this than that takes."""
        native = self.native

        def build() -> Tokenizer:
            from nextoken.tokenizer import tokenizer_from_gguf

            return tokenizer_from_gguf(native)

        return build

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """The tensor table by name, in the order of the file."""
        return {
            t.name: TensorInfo(t.name, t.shape, t.type, t.type_name, t.offset, t.nbytes)
            for t in self.native.tensors
        }

    @cached_property
    def architecture(self) -> str:
        return self.need_str("general.architecture")

    # --- metadata ----------------------------------------------------------------------------------------------

    def need_int(self, key: str, lo: int | None = None, hi: int | None = None) -> int:
        """An integer of any width with lo <= value <= hi."""
        value: int = self._need(key, _INTEGERS, "an integer")
        if hi is None and value > _LARGEST:
            hi = _LARGEST
        if (lo is not None and value < lo) or (hi is not None and value > hi):
            raise self.error(key, f"is {value}, an integer {_range(lo, hi)} was expected")
        return value

    def need_float(
        self, key: str, lo: float | None = None, hi: float | None = None, *, above: float | None = None
    ) -> float:
        """A finite float with lo <= value <= hi and value > above."""
        value: float = self._need(key, _FLOATS, "a float")
        inside = (lo is None or value >= lo) and (hi is None or value <= hi)
        if not math.isfinite(value) or not inside or (above is not None and value <= above):
            wanted = (
                _range(lo, hi) if above is None else f"above {above}" + ("" if hi is None else f", to {hi}")
            )
            raise self.error(key, f"is {value}, a finite float {wanted} was expected".replace("  ", " "))
        return value

    def need_bool(self, key: str) -> bool:
        value: bool = self._need(key, ("bool",), "a bool")
        return value

    def need_str(self, key: str) -> str:
        """A string of valid UTF-8."""
        value: str = self._need(key, ("str",), "a string")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise self.error(key, "is not valid UTF-8")
        return value

    def need_ints(self, key: str, n: int, lo: int | None = None, hi: int | None = None) -> list[int]:
        """`n` integers, each in range: an array of that length, or one integer (or bool) that holds for all."""
        if key in self.metadata and not self.metadata.kind(key).startswith("arr["):
            return [self.need_int(key, lo, hi)] * n
        kinds = (*(f"arr[{kind}]" for kind in _INTEGERS), "arr[bool]")
        values = [int(v) for v in self._need(key, kinds, "an integer or an array of integers")]
        if len(values) != n:
            raise self.error(key, f"has {len(values)} elements, {n} were expected")
        for i, value in enumerate(values):
            if (lo is not None and value < lo) or (hi is not None and value > hi):
                raise self.error(key, f"has {value} at index {i}, an integer {_range(lo, hi)} was expected")
        return values

    def get_int(
        self, key: str, default: Default, lo: int | None = None, hi: int | None = None
    ) -> int | Default:
        return self.need_int(key, lo, hi) if key in self.metadata else default

    def get_float(
        self,
        key: str,
        default: Default,
        lo: float | None = None,
        hi: float | None = None,
        *,
        above: float | None = None,
    ) -> float | Default:
        return self.need_float(key, lo, hi, above=above) if key in self.metadata else default

    def get_bool(self, key: str, default: Default) -> bool | Default:
        return self.need_bool(key) if key in self.metadata else default

    def get_str(self, key: str, default: Default) -> str | Default:
        return self.need_str(key) if key in self.metadata else default

    # --- hyper-parameters: keys under the architecture's name --------------------------------------------------

    def hparam_key(self, name: str) -> str:
        return f"{self.architecture}.{name}"

    # --- tensors -----------------------------------------------------------------------------------------------

    def require_tensors(self, names: Iterable[str]) -> None:
        """Raises ModelFormatError that lists the first ten of `names` that the file does not have."""
        missing = [name for name in names if name not in self.tensors]
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise ModelFormatError(
                f"{self.path}: {len(missing)} tensors are missing: {', '.join(missing[:10])}{more}",
                path=self.path,
                field=missing[0],
            )

    def need_tensor(self, name: str, shape: Sequence[int] | None = None) -> TensorInfo:
        """The tensor, with that shape if one is given (row length first); else ModelFormatError."""
        self.require_tensors([name])
        tensor = self.tensors[name]
        if shape is not None and tensor.shape != tuple(shape):
            raise ModelFormatError(
                f"{self.path}: tensor {name} has shape {tensor.shape}, {tuple(shape)} was expected",
                path=self.path,
                offset=tensor.offset,
                field=name,
            )
        return tensor

    # --- errors ------------------------------------------------------------------------------------------------

    def error(self, key: str, message: str) -> ModelFormatError:
        """A ModelFormatError about a metadata key, to raise; checks of several keys together use it too."""
        offset = self.native.offset_of(key) if key in self.metadata else None
        return ModelFormatError(f"{self.path}: {key} {message}", path=self.path, offset=offset, field=key)

    def _need(self, key: str, kinds: Sequence[str], what: str) -> Any:
        if key not in self.metadata:
            raise self.error(key, f"is missing, {what} was expected")
        if self.metadata.kind(key) not in kinds:
            raise self.error(key, f"has type {self.metadata.kind(key)}, {what} was expected")
        return self.metadata[key]


def open_gguf(path: StrPath) -> GGUFCheckpoint:
    """Read and check the header of a GGUF file; the weights stay where they are.

    Of a model in several files the first is given, and all are opened. Raises ModelFormatError or ModelTruncatedError
    (`.path .offset .field`) for a damaged file, UnsupportedModelError for a version or a tensor type that is not known,
    OSError for a file that can not be opened, and FileNotFoundError for a part that is missing.

    >>> open_gguf("model.gguf").need_int("llama.block_count", lo=1, hi=1024)
    30
    """
    checkpoint = GGUFCheckpoint(_native.GGUFFile(path))
    warn_of_surplus(checkpoint.native)
    try:
        if checkpoint.get_int("split.count", 1, lo=0) < 2:
            return checkpoint
        from nextoken.checkpoints.split import SplitCheckpoint

        return SplitCheckpoint(checkpoint)
    except BaseException:
        checkpoint.close()
        raise


def warn_of_surplus(native: _native.GGUFFile) -> None:
    if native.size > native.data_end:
        log.warning(
            "%s: %d bytes after the last tensor are ignored", native.path, native.size - native.data_end
        )


def shortened(text: str) -> str:
    """`text` from a file, in quotes and fit for a message: 64 characters at most, the unprintable escaped."""
    return ascii(text[:64]) + ("..." if len(text) > 64 else "")


def _range(lo: float | None, hi: float | None) -> str:
    if lo is None and hi is None:
        return ""
    if hi is None:
        return f"of at least {lo}"
    return f"of at most {hi}" if lo is None else f"from {lo} to {hi}"
