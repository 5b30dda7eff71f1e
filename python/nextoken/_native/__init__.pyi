# Generated from the compiled module by `make stubs`: do not edit.
"""
Native kernels, model, cache and readers of nextoken.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

from . import kernels

class Pick:
    """
    A chosen token.
    """

    @property
    def id(self) -> int: ...
    @property
    def logprob(self) -> typing.Any:
        """
        Log-softmax of the model's logits at `id`; None unless logprobs were asked for.
        """

    @property
    def top(self) -> list[typing.Any]:
        """
        The best candidates as (id, logit, logprob), best first.
        """

class Stage:
    """
    What one stage of the sampler did.
    """

    @property
    def dropped(self) -> list[typing.Any]:
        """
        The likeliest of the removed: (id, probability before the stage).
        """

    @property
    def kept(self) -> list[typing.Any]:
        """
        The likeliest after the stage: (id, probability it left).
        """

    @property
    def name(self) -> str: ...
    @property
    def remaining(self) -> int: ...
    @property
    def removed(self) -> int: ...

class Sampler:
    """
    One sequence's way from logits to the next token.
    """

    def __init__(
        self,
        *,
        vocab_size: typing.SupportsInt | typing.SupportsIndex,
        n_decodable: typing.SupportsInt | typing.SupportsIndex | None = None,
        temperature: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        top_k: typing.SupportsInt | typing.SupportsIndex = 0,
        top_p: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        min_p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        typical_p: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        repetition_penalty: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        presence_penalty: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        frequency_penalty: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        logit_bias: collections.abc.Sequence[
            tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex]
        ] = [],
        allowed_token_ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        sequence: typing.SupportsInt | typing.SupportsIndex = 0,
        logprobs: typing.SupportsInt | typing.SupportsIndex | None = None,
        isa: str | None = None,
    ) -> None: ...
    def choose(
        self,
        logits: numpy.typing.NDArray[typing.Any],
        position: typing.SupportsInt | typing.SupportsIndex,
        raw: numpy.typing.NDArray[typing.Any] | None = None,
    ) -> Pick:
        """
        The Pick for `position` from logits (V,) float32. `raw` are the model's own where `logits` were changed.
        """

    def explain(
        self,
        logits: numpy.typing.NDArray[typing.Any],
        position: typing.SupportsInt | typing.SupportsIndex,
        raw: numpy.typing.NDArray[typing.Any] | None = None,
        shown: typing.SupportsInt | typing.SupportsIndex = 10,
    ) -> tuple[Pick, list[Stage]]:
        """
        The same Pick, and a Stage for all that happened on the way.
        """

    def observe(self, ids: numpy.typing.NDArray[typing.Any]) -> None:
        """
        Tells the penalties which tokens the answer has so far; ids (T,) int32, each once.
        """

    def observe_prompt(self, ids: numpy.typing.NDArray[typing.Any]) -> None:
        """
        Tells the repetition penalty which tokens the prompt has; ids (T,) int32.
        """

    @property
    def vocab_size(self) -> int: ...

class GGUFTensor:
    """
    One entry of a GGUF file's tensor table.
    """
    @property
    def name(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def offset(self) -> int:
        """
        Position of the first byte in the file.
        """
    @property
    def shape(self) -> tuple[int, ...]:
        """
        Elements in each dimension; the first is the length of a row.
        """
    @property
    def type(self) -> int:
        """
        ggml's number of the type.
        """
    @property
    def type_name(self) -> str: ...

class GGUFFile:
    """
    A GGUF file, open, with its metadata and tensor table read and checked.
    """
    def __init__(self, path: typing.Any) -> None: ...
    def check_unchanged(self) -> None:
        """
        Raise ModelFormatError if the file has changed since it was opened.
        """
    def close(self) -> None:
        """
        Give the file descriptor back. Metadata and tensor table stay.
        """
    def get(self, key: str) -> typing.Any:
        """
        The value: int, float, bool, str, a list of str or a NumPy array of numbers; None if there is none.
        """
    def get_strings_raw(self, key: str) -> list[bytes]:
        """
        An array of strings as a list of bytes.
        """
    def keys(self) -> list[str]:
        """
        Metadata keys, in the order of the file.
        """
    def kind(self, key: str) -> str:
        """
        The type of a value: 'u32', 'str', 'arr[f32]'. KeyError if there is none.
        """
    def length(self, key: str) -> int:
        """
        How many elements an array has; 1 for any other value. KeyError if there is none.
        """
    def offset_of(self, key: str) -> int:
        """
        Where in the file a value stands. KeyError if there is none.
        """
    @property
    def alignment(self) -> int: ...
    @property
    def data_end(self) -> int:
        """
        Where the last tensor ends, its padding included.
        """
    @property
    def data_offset(self) -> int:
        """
        Where the tensor data begin.
        """
    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int:
        """
        Bytes in the file.
        """
    @property
    def tensors(self) -> list[GGUFTensor]:
        """
        The tensor table, in the order of the file.
        """
    @property
    def version(self) -> int: ...

def log_softmax_top(
    logits: numpy.typing.NDArray[typing.Any],
    targets: numpy.typing.NDArray[typing.Any] | None = None,
    n: typing.SupportsInt | typing.SupportsIndex = 0,
    n_decodable: typing.SupportsInt | typing.SupportsIndex | None = None,
) -> tuple[typing.Any, ...]:
    """
    For logits (T, V) float32: log-softmax at targets (T,) int32 as (T,) float32 (empty without targets), and the n
    best ids below n_decodable (T, n) int32 with theirs (T, n) float32, best first; -1 and -inf where there are fewer.
    """
