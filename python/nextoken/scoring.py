"""How likely a text is: the log-probability of each token given those before it, at constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.engine import Engine, Progress
from nextoken.inputs import Ids

LOGITS_BYTES = 1 << 26  # of one chunk of rows

Scored = tuple[int, float, npt.NDArray[np.int32], npt.NDArray[np.float32]]


def score_chunks(
    engine: Engine,
    cache: _native.Cache,
    ids: Ids,
    n_top: int,
    n_decodable: int,
    cancel: Any = None,
    progress: Progress | None = None,
) -> Iterator[list[Scored]]:
    """Append all of `ids` but the last; for each id but the first (id, logprob, ids and logprobs of the `n_top` best).

    Logits of a whole vocabulary are kept for a few rows at a time only.
    """
    rows = max(1, LOGITS_BYTES // (4 * engine.vocab_size))
    total = len(ids) - 1
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        (logits,) = engine.append([cache], [ids[start:stop]], "all", cancel)
        assert logits is not None
        targets = ids[start + 1 : stop + 1]
        logprobs, top_ids, top_logprobs = _native.log_softmax_top(
            logits, targets=targets, n=n_top, n_decodable=n_decodable
        )
        if progress is not None:
            progress(stop, total)
        yield list(zip(targets.tolist(), logprobs.tolist(), top_ids, top_logprobs, strict=True))
