"""Every error nextoken raises on purpose. Each also derives from the builtin one would guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextoken.completion import Completion


class Error(Exception):
    """Base class of all errors of this package."""


class ModelFormatError(Error, ValueError):
    """A model file is damaged or not what it claims to be.

    `path` is the file, `offset` the byte position of the fault (None if it has none),
    `field` the metadata key, tensor or header field at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        offset: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset
        self.field = field


class ModelTruncatedError(ModelFormatError):
    """A model file ends early: `expected` bytes are needed, `actual` are there."""

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        offset: int | None = None,
        field: str | None = None,
        expected: int | None = None,
        actual: int | None = None,
    ) -> None:
        super().__init__(message, path=path, offset=offset, field=field)
        self.expected = expected
        self.actual = actual


class UnsupportedModelError(Error, ValueError):
    """A valid model that this version does not run."""


class DeviceUnavailableError(Error, RuntimeError):
    """device="cuda" where no card can be used. The message says what is missing and how to get it."""


class TokenizerError(Error, ValueError):
    """A vocabulary that can not be built, or ids and text that do not fit it."""


class ChatTemplateError(Error, ValueError):
    """The model's chat template is missing, broken, or refused to render."""


class ContextLengthError(Error, ValueError):
    """More tokens than the context holds: `n_prompt` asked for, `n_ctx` available."""

    def __init__(self, message: str, *, n_prompt: int | None = None, n_ctx: int | None = None) -> None:
        super().__init__(message)
        self.n_prompt = n_prompt
        self.n_ctx = n_ctx


class NumericalError(Error, ArithmeticError):
    """NaN or infinity came out of the model or of a logits processor.

    `completions`, after `generate`: the answer of each prompt, None for those that failed.
    """

    completions: Sequence[Completion | None] = ()


class ClosedError(Error, RuntimeError):
    """The model or session was closed."""


class Cancelled(Error):
    """The call was stopped by its `cancel` event; nothing of it remains."""


class DownloadError(Error, OSError):
    """A model of the catalogue could not be fetched, or what came was not the model."""
