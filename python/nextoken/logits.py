"""The logits of every position of rows of ids, each from an empty cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nextoken import _native
from nextoken.engine import Engine
from nextoken.inputs import Ids

ROWS = 512  # of one pass: a batch of short rows shares passes, a long row is cut

Floats = npt.NDArray[np.float32]


def logits_of(engine: Engine, ids: Sequence[Ids]) -> Floats | list[Floats]:
    """Float32 (B, T, V); for rows of different lengths a list of (T, V). Raises as `Session.append`."""
    _native.require_memory_for_logits(sum(map(len, ids)), engine.vocab_size)
    lengths = {len(row) for row in ids}
    if len(lengths) > 1:
        separate = [np.empty((len(row), engine.vocab_size), np.float32) for row in ids]
        _fill(engine, separate, ids)
        return separate
    out = np.empty((len(ids), lengths.pop(), engine.vocab_size), np.float32)
    _fill(engine, list(out), ids)
    return out


def _fill(engine: Engine, out: Sequence[Floats], ids: Sequence[Ids]) -> None:
    """Logits of all `ids` into `out`, (T_i, V) each: whole short rows together, long ones in pieces, the same bits."""
    start = 0
    while start < len(ids):
        stop, n = start + 1, len(ids[start])
        while stop < len(ids) and n + len(ids[stop]) <= ROWS:
            n += len(ids[stop])
            stop += 1
        caches = [engine.new_cache() for _ in range(start, stop)]
        for at in range(0, len(ids[start]) if stop == start + 1 else 1, ROWS):
            pieces = [row[at : at + ROWS] for row in ids[start:stop]]
            for i, rows in enumerate(engine.append(caches, pieces, "all"), start):
                out[i][at : at + ROWS] = rows
        start = stop
