"""Calling a logits processor: the caller's code between the forward pass and the choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nextoken.engine import Engine
from nextoken.errors import NumericalError


class ProcessorError(NumericalError, ValueError):
    """A logits processor returned NaN or +inf."""


def call_processor(
    engine: Engine, processor: Any, token_ids: list[int], logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """`processor(token_ids, logits)`, checked: returns the logits (V,) float32 to choose from.

    The processor gets a copy that is its own: it may change it in place, and keep it. It returns the logits, its own
    or new ones; -inf rules a token out. What it raises comes through unchanged.

    Raises TypeError for anything but a float32 array (None too: a forgotten `return`), ValueError for another shape,
    and an error that is both ValueError and NumericalError for NaN and +inf.
    """
    with engine.calling_back():
        result = processor(token_ids, logits.copy())
    if not isinstance(result, np.ndarray):
        raise TypeError(f"a logits processor must return a float32 array, got {type(result).__name__}")
    if result.dtype != np.float32:
        raise TypeError(f"a logits processor must return float32, got {result.dtype}")
    if result.shape != logits.shape:
        raise ValueError(f"a logits processor must return shape {logits.shape}, got {result.shape}")
    bad = np.isnan(result) | (result == np.inf)
    if bad.any():
        at = int(bad.argmax())
        raise ProcessorError(f"a logits processor returned {result[at]} for token id {at}")
    return np.array(result, np.float32)  # what it does to its array later must not reach the sampler
