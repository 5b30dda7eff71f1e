"""The line protocol of a worker over an engine that only generates; see llama_worker.cpp for the lines."""

from __future__ import annotations

import sys
import time
from typing import Protocol

RAGGED_STEP = 32


class Generates(Protocol):
    vocab_size: int

    def stamps(self, prompt: list[int], n: int) -> list[float]:
        """Reads the prompt and generates n tokens; the time (perf_counter) at which each was there."""
        ...

    def batch(self, prompts: list[list[int]], n: int) -> None:
        """Generates n tokens after each prompt, all together."""
        ...


class Runner:
    def __init__(self, engine: Generates) -> None:
        self.engine = engine
        self.calls = 0

    def ids(self, n: int) -> list[int]:
        """New ones for each call: an engine that keeps prefixes would not compute known ones again."""
        self.calls += 1
        return [1000003 * (self.calls + i + 1) % self.engine.vocab_size for i in range(n)]

    def run(self, what: str, tokens: int, depth: int, sequences: int) -> float:
        """Seconds. Decoding is timed from its first token on, the prompt before it is not."""
        start = time.perf_counter()
        if what == "prefill":
            return self.engine.stamps(self.ids(tokens), 1)[0] - start
        if sequences == 1:
            stamps = self.engine.stamps(self.ids(depth or 1), tokens + 1)
            return stamps[-1] - stamps[0]
        return self.batch(sequences, tokens + 1) - self.batch(sequences, 1)

    def batch(self, sequences: int, n: int) -> float:
        prompts = [self.ids(RAGGED_STEP * (i + 1)) for i in range(sequences)]
        start = time.perf_counter()
        self.engine.batch(prompts, n)
        return time.perf_counter() - start


def serve(engine: Generates) -> None:
    """Answers lines until there are no more."""
    runner = Runner(engine)
    runner.run("prefill", 64, 0, 1)  # warm
    print("ready", flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        try:
            seconds = runner.run(what, *map(int, numbers))
        except Exception as error:
            print(f"error {type(error).__name__}: {str(error)[:200]!r}", flush=True)
        else:
            print(f"{seconds:.6f}", flush=True)
