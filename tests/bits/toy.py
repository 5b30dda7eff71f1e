"""A model of twenty lines in NumPy float32, right, or wrong in one respect: what the matrix must catch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HIDDEN, VOCAB = 48, 32


class Toy:
    """x[t] = E[id] + x[t-1] / 2, logits = x W. The sum over HIDDEN goes in runs; `fault` says what sets their length.

    "rows": the number of tokens in the pass, as when a kernel for few rows splits its sums another way;
    "threads", "isa": those; "rewind" forgets one token too few; "fork" lets a fork write into the original.
    """

    def __init__(self, fault: str | None, n_threads: int, isa: str) -> None:
        rng = np.random.default_rng(0)
        self._embedding = rng.normal(size=(VOCAB, HIDDEN)).astype(np.float32)
        self._weight = rng.normal(size=(HIDDEN, VOCAB)).astype(np.float32)
        self._fault, self._n_threads, self._isa = fault, n_threads, isa

    def new(self) -> list[npt.NDArray[np.float32]]:
        return [np.zeros(HIDDEN, np.float32)]

    def append(self, states: list, ids: list[list[int]]) -> list[npt.NDArray[np.float32]]:
        n_rows = sum(len(row) for row in ids)
        run = {
            "rows": 8 if n_rows > 1 else 16,
            "threads": 16 // self._n_threads,
            "isa": 4 if self._isa == "scalar" else 16,
        }.get(self._fault or "", 8)
        out = []
        for state, row in zip(states, ids, strict=True):
            for token_id in row:
                state.append(self._embedding[token_id] + np.float32(0.5) * state[-1])
            out.append(np.stack([self._logits(x, run) for x in state[len(state) - len(row) :]]))
        return out

    def _logits(self, x: npt.NDArray[np.float32], run: int) -> npt.NDArray[np.float32]:
        total = np.zeros(VOCAB, np.float32)
        for start in range(0, HIDDEN, run):
            part = np.zeros(VOCAB, np.float32)
            for c in range(start, min(start + run, HIDDEN)):
                part += x[c] * self._weight[c]
            total += part
        return total

    def fork(self, state: list) -> list:
        return state if self._fault == "fork" else list(state)

    def rewind(self, state: list, n: int) -> None:
        del state[len(state) - n + (self._fault == "rewind") :]
