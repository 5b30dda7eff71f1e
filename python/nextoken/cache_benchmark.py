"""What the KV cache buys: cached against uncached decoding at growing lengths, the same tokens on both sides.

A token decoded with the cache is one row through the model; without it every token before it goes through again. The
result counts rows and forward passes as well as seconds, so that the reason shows.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nextoken.llm import LLM

LENGTHS = (16, 32, 64, 128, 256)
FULL_LENGTHS = (512, 1024)
UNCACHED_SECONDS = 20.0  # past this much at one length, longer ones are left to --full


@dataclass(frozen=True)
class Row:
    """Decoding `generated` tokens behind a prompt of `prompt` tokens. Rates are tokens a second."""

    prompt: int
    generated: int
    passes: int
    cached_rows: int  # rows that went through the model
    uncached_rows: int
    cached_s: float
    uncached_s: float

    @property
    def cached_rate(self) -> float:
        return self.generated / self.cached_s

    @property
    def uncached_rate(self) -> float:
        return self.generated / self.uncached_s

    @property
    def speedup(self) -> float:
        return self.uncached_s / self.cached_s


@dataclass(frozen=True)
class CacheBenchmark:
    """The table, and beside it how fast the model reads (prefill) and writes (decode), in tokens a second."""

    model: str
    isa: str
    n_threads: int
    rows: tuple[Row, ...]
    prefill_tokens: int
    prefill_rate: float
    decode_rate: float
    skipped: tuple[int, ...]  # lengths left out because uncached work grows with the square

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, rates included."""
        result = asdict(self)
        for row, values in zip(self.rows, result["rows"], strict=True):
            values |= {
                "cached_rate": row.cached_rate,
                "uncached_rate": row.uncached_rate,
                "speedup": row.speedup,
            }
        return result

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    def write_png(self, path: Path) -> None:
        """A picture of both rates over the length. Needs the extra `plots`."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=130)
        lengths = [row.generated for row in self.rows]
        axes.plot(lengths, [row.cached_rate for row in self.rows], "o-", label="with the KV cache")
        axes.plot(lengths, [row.uncached_rate for row in self.rows], "s-", label="without it")
        axes.axhline(
            self.prefill_rate,
            linestyle=":",
            color="gray",
            label=f"reading {self.prefill_tokens} tokens at once",
        )
        axes.set(xscale="log", yscale="log", xlabel="tokens generated", ylabel="tokens a second")
        axes.set_xticks(lengths, [str(n) for n in lengths])
        axes.minorticks_off()
        axes.set_title(f"{self.model}, {self.isa}, {self.n_threads} threads")
        axes.grid(True, alpha=0.3)
        axes.legend()
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)


def generate_cached(llm: LLM, prompt: Sequence[int], n: int) -> tuple[list[int], int, int]:
    """Greedy ids, forward passes, rows through the model."""
    ids: list[int] = []
    rows = 0
    with llm.session() as session:
        pending = list(prompt)
        for _ in range(n):
            rows += len(pending)
            logits = session.append(pending, logits="last")
            assert logits is not None
            pending = [int(np.argmax(logits))]
            ids += pending
    return ids, n, rows


def generate_uncached(llm: LLM, prompt: Sequence[int], n: int) -> tuple[list[int], int, int]:
    """The same with an empty cache for every token."""
    ids: list[int] = []
    rows = 0
    for _ in range(n):
        whole = [*prompt, *ids]
        rows += len(whole)
        with llm.session() as session:
            logits = session.append(whole, logits="last")
        assert logits is not None
        ids.append(int(np.argmax(logits)))
    return ids, n, rows


def run(
    llm: LLM,
    prompt: Sequence[int],
    *,
    full: bool = False,
    rounds: int = 3,
    on_row: Callable[[Row], None] | None = None,
) -> CacheBenchmark:
    """Measure every length `rounds` times, cached and uncached in turn, and keep medians.

    Raises RuntimeError if the two ever choose different tokens.
    """
    lengths = [n for n in LENGTHS + (FULL_LENGTHS if full else ()) if len(prompt) + n <= llm.n_ctx]
    rows: list[Row] = []
    skipped: list[int] = []
    generate_cached(llm, prompt, 4)  # warms up
    for n in lengths:
        if rows and not full and rows[-1].uncached_s * (n / rows[-1].generated) ** 2 > UNCACHED_SECONDS:
            skipped.append(n)
            continue
        cached_s: list[float] = []
        uncached_s: list[float] = []
        counts = (0, 0, 0)
        for _ in range(rounds):
            start = time.perf_counter()
            cached = generate_cached(llm, prompt, n)
            middle = time.perf_counter()
            uncached = generate_uncached(llm, prompt, n)
            uncached_s.append(time.perf_counter() - middle)
            cached_s.append(middle - start)
            if cached[0] != uncached[0]:
                raise RuntimeError(f"cached and uncached decoding of {n} tokens chose different tokens")
            counts = (cached[1], cached[2], uncached[2])
        median = statistics.median
        rows.append(Row(len(prompt), n, *counts, median(cached_s), median(uncached_s)))
        if on_row is not None:
            on_row(rows[-1])
    read, prefill_rate, decode_rate = _reading_and_writing(llm, prompt, rounds)
    return CacheBenchmark(
        llm.name, llm.isa, llm.n_threads, tuple(rows), read, prefill_rate, decode_rate, tuple(skipped)
    )


def _reading_and_writing(llm: LLM, prompt: Sequence[int], rounds: int) -> tuple[int, float, float]:
    """How many tokens were read at once, and the rates of reading them and of writing 64."""
    n = min(512, llm.n_ctx // 2)
    ids = (list(prompt) * (n // len(prompt) + 1))[:n]
    reading: list[float] = []
    writing: list[float] = []
    for _ in range(rounds):
        with llm.session() as session:
            start = time.perf_counter()
            session.append(ids, logits="last")
            reading.append(n / (time.perf_counter() - start))
        start = time.perf_counter()
        generate_cached(llm, ids[:1], min(64, n))
        writing.append(min(64, n) / (time.perf_counter() - start))
    return n, statistics.median(reading), statistics.median(writing)
