"""Runs trained Transformer language models: a function that predicts the next token, called in a loop.

>>> from nextoken import LLM
>>> llm = LLM("smollm2-135m")
>>> print(llm.generate("The capital of France is", max_tokens=8))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nextoken.completion import Candidate, Completion, OpTiming, Timings, Token, Usage
    from nextoken.errors import (
        Cancelled,
        ChatTemplateError,
        ClosedError,
        ContextLengthError,
        DeviceUnavailableError,
        DownloadError,
        Error,
        ModelFormatError,
        ModelTruncatedError,
        NumericalError,
        TokenizerError,
        UnsupportedModelError,
    )
    from nextoken.llm import LLM
    from nextoken.sampling import SamplingParams
    from nextoken.session import Session

__version__ = "0.1.0"


def _refuse_sub_interpreters() -> None:
    """Raise ImportError in one (mod_wsgi starts them): loading the native module there would wait for ever."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters: Any = importlib.import_module(name)
            main = interpreters.get_main() == interpreters.get_current()
        except (ImportError, AttributeError):
            continue
        if not main:
            raise ImportError(
                "nextoken runs in the main interpreter, not in a sub-interpreter (under mod_wsgi set "
                "WSGIApplicationGroup %{GLOBAL}, elsewhere use processes)"
            )
        return


_refuse_sub_interpreters()

# A name is imported when it is first asked for: `import nextoken` itself takes a few milliseconds.
_HOMES = {
    "LLM": "llm",
    "SamplingParams": "sampling",
    "Session": "session",
    **dict.fromkeys(("Candidate", "Completion", "OpTiming", "Timings", "Token", "Usage"), "completion"),
    **dict.fromkeys(
        (
            "Cancelled",
            "ChatTemplateError",
            "ClosedError",
            "ContextLengthError",
            "DeviceUnavailableError",
            "DownloadError",
            "Error",
            "ModelFormatError",
            "ModelTruncatedError",
            "NumericalError",
            "TokenizerError",
            "UnsupportedModelError",
        ),
        "errors",
    ),
}
_ROOMS = ("errors", "kernels")

__all__ = [
    "LLM",
    "Cancelled",
    "Candidate",
    "ChatTemplateError",
    "ClosedError",
    "Completion",
    "ContextLengthError",
    "DeviceUnavailableError",
    "DownloadError",
    "Error",
    "ModelFormatError",
    "ModelTruncatedError",
    "NumericalError",
    "OpTiming",
    "SamplingParams",
    "Session",
    "Timings",
    "Token",
    "TokenizerError",
    "UnsupportedModelError",
    "Usage",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"nextoken.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"nextoken.{name}")
    else:
        raise AttributeError(f"module 'nextoken' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
