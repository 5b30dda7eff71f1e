"""nextoken as a worker: loads a model once, then runs a row for each line of stdin; see llama_worker.cpp."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from typing import Any

START = time.perf_counter()

from nextoken import LLM, ModelFormatError  # noqa: E402  (importing is part of the time to the first token)

RAGGED_STEP = 32


class Worker:
    def __init__(self, path: str, threads: int, states: str) -> None:
        self.llm = LLM(path, n_threads=threads)
        self.states = states
        self.sessions: list[Any] = []
        self.shape = (-1, -1)

    def ids(self, n: int, first: int = 0) -> list[int]:
        return [1000003 * (first + i + 1) % self.llm.vocab_size for i in range(n)]

    def open(self, depth: int, sequences: int) -> None:
        """Sessions filled to where the row starts; kept for the next sample of the same shape."""
        if self.shape == (depth, sequences):
            return
        for session in self.sessions:
            session.close()
        file = f"{self.states}-{depth}"
        stored = None
        if self.states and sequences == 1 and depth and os.path.exists(file):
            with contextlib.suppress(ModelFormatError):  # of a file that had this name before
                stored = self.llm.session(file)
        if stored is not None:
            self.sessions = [stored]
        else:
            self.sessions = [self.llm.session() for _ in range(sequences)]
            for i, session in enumerate(self.sessions):
                start = RAGGED_STEP * (i + 1) if sequences > 1 else depth
                if start:
                    session.append(self.ids(start), logits="none")
            if self.states and sequences == 1 and depth:
                self.sessions[0].save(file)
        self.shape = (depth, sequences)

    def run(self, what: str, tokens: int, depth: int, sequences: int) -> float:
        self.open(depth, sequences)
        lengths = [len(session) for session in self.sessions]
        start = time.perf_counter()
        if what == "prefill":
            self.sessions[0].append(self.ids(tokens), logits="last")
        elif sequences == 1:
            append = self.sessions[0].append
            for token_id in self.ids(tokens):
                append([token_id], logits="last")
        else:
            for i in range(tokens):
                ids = [self.ids(1, i + 7 * s) for s in range(sequences)]
                self.llm.append(self.sessions, ids, logits="last")
        seconds = time.perf_counter() - start
        for session, length in zip(self.sessions, lengths, strict=True):
            session.rewind(len(session) - length)
        return seconds


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(path: str, threads: int, states: str = "", n_ids: str = "") -> None:
    base = peak_kib()
    worker = Worker(path, threads, "" if states == "--first" else states)
    if states == "--first":
        with worker.llm.session() as session:
            session.predict(worker.ids(int(n_ids)))
        print(f"{time.perf_counter() - START:.6f} {peak_kib()} {base}")
        return
    worker.run("prefill", 64, 0, 1)  # warm
    print("ready", flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        print(f"{worker.run(what, *map(int, numbers)):.6f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
