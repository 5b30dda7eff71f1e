"""nextoken beside other engines: the same file, threads and lengths, in turn, with the machine's own limits.

    python -m bench.peers MODEL.gguf ... --json bench.json
    python -m bench.peers MODEL.gguf --rows decode:128 --engines nextoken,llama.cpp --threads 2 --json bench.json

Each round runs every engine once, so that a busy minute meets all of them. Printed are medians (lowest-highest), the
ratio to the best peer round by round, and the share of what the machine's reading and multiplying allow. Prompts are
made-up ids, logits are made for the last one, the cache is f16, everybody runs once unmeasured. With --json a run adds
its rows to the file, so that a long table can be measured in slices. Peers are those that `python -m
bench.peers.install` has put into the cache folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers import machine
from bench.peers.engines import Engine, LlamaBench, Unavailable, Worker, available, first_token
from bench.peers.install import DEFAULT_CACHE
from bench.peers.report import OURS, merge, table
from bench.peers.rows import Facts, Row, least_seconds

SMALL, LARGE = 5e8, 2e9  # bytes of a file
ROWS = {
    "small": ("decode:128", "prefill:512", "decode:64@2048", "ragged:32x8", "first:31"),
    "medium": ("decode:64", "prefill:512", "decode:32@4096", "ragged:16x8", "first:31"),
    "large": ("decode:16", "prefill:512", "decode:8@4096", "ragged:8x8", "first:31"),
}


def rows_for(file_bytes: int) -> list[Row]:
    """Fewer tokens for a larger model: a sample stays within seconds."""
    size = "small" if file_bytes < SMALL else "medium" if file_bytes < LARGE else "large"
    return [Row.parse(text) for text in ROWS[size]]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(
    model: Path, threads: int, rows: list[Row] | None, engines: list[Engine], rounds: int, cache: Path
) -> list[dict[str, Any]]:
    """A result a row: {"model", "row", "threads", "samples": {engine: [...]}, "limit", "limits", ...}."""
    facts = Facts.of(model)
    rows = rows if rows is not None else rows_for(facts.file_bytes)
    limits = machine.Limits(cache, threads, facts.weight_bytes)
    results: list[dict[str, Any]] = []
    workers: dict[str, Worker | LlamaBench] = {}
    with machine.others_share() as others:
        try:
            if any(not row.less_is_better for row in rows):
                workers = start(engines, model, threads)
            for row in rows:
                if row.what == "first":
                    results += first_rows(row, model, threads, engines, rounds)
                    continue
                result = run_row(row, workers, rounds, limits.read)
                least = [
                    least_seconds(row, facts, limits.found | {"read": speed}) for speed in result["read"]
                ]
                result["limit"] = [row.new_tokens / seconds for seconds in least]
                results.append(result)
        finally:
            limits.close()
            for worker in workers.values():
                worker.close()
    for result in results:
        result |= {"model": model.stem, "threads": threads, "file_bytes": facts.file_bytes}
        result |= {"limits": limits.found, "others": others[0] if others else None}
    return results


def start(engines: list[Engine], model: Path, threads: int) -> dict[str, Worker | LlamaBench]:
    """The engines that load the model."""
    workers = {}
    for engine in engines:
        try:
            workers[engine.name] = engine.start(model, threads)
        except Unavailable as reason:  # noqa: PERF203
            say(f"{engine.name}: {model.name} left out, {reason}")
    return workers


def run_row(
    row: Row, workers: dict[str, Worker | LlamaBench], rounds: int, read: Callable[[], float]
) -> dict[str, Any]:
    """{"row", "samples", "read"}: one of each in a round, the speed of reading too."""
    samples: dict[str, list[float]] = {}
    speeds: list[float] = []
    left_out: set[str] = set()
    for number in range(-1, rounds):  # the first is not measured: it fills the cache to the row's depth
        for name, worker in workers.items():
            if name in left_out:
                continue
            try:
                rate = worker.sample(Row(row.what, 1 if number < 0 else row.tokens, row.depth, row.sequences))
            except Unavailable as reason:
                say(f"{name}: {row} left out, {reason}")
                left_out.add(name)
                samples.pop(name, None)
                continue
            if number >= 0:
                samples.setdefault(name, []).append(rate)
        if number >= 0:
            speeds.append(read())
    return {"row": str(row), "samples": samples, "read": speeds}


def first_rows(
    row: Row, model: Path, threads: int, engines: list[Engine], rounds: int
) -> list[dict[str, Any]]:
    """Load to first token, and peak memory, of a process a sample."""
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, list[float]] = {}
    bases: dict[str, float] = {}
    for number in range(-1, rounds):
        for engine in engines:
            try:
                time, peak, base = first_token(engine, model, threads, row.tokens)
            except Unavailable as reason:
                if number < 0:
                    say(f"{engine.name}: {row} left out, {reason}")
                continue
            if number >= 0:
                seconds.setdefault(engine.name, []).append(time)
                peaks.setdefault(engine.name, []).append(peak)
                bases[engine.name] = base
    memory = {"row": str(Row("memory", row.tokens)), "samples": peaks, "before_load": bases}
    return [{"row": str(row), "samples": seconds}, memory]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+", help="GGUF files")
    parser.add_argument(
        "--rows", help="decode:128,prefill:512,decode:64@2048,ragged:32x8,first:31; default by size"
    )
    parser.add_argument("--engines", help="names, nextoken among them; default: all that are installed")
    parser.add_argument("--threads", default="2,1", help="one number, or several")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where peers have been installed")
    parser.add_argument("--ik-llama-bench", type=Path, metavar="PATH", help="a llama-bench of ik_llama.cpp")
    parser.add_argument("--json", type=Path, metavar="PATH", help="add the rows to this file")
    arguments = parser.parse_args()

    engines = available(arguments.cache, arguments.ik_llama_bench)
    wanted = arguments.engines.split(",") if arguments.engines else list(engines)
    if missing := [name for name in wanted if name not in engines]:
        parser.error(f"not installed: {', '.join(missing)}; there are {', '.join(engines)}")
    if OURS not in wanted:
        parser.error(f"--engines: {OURS} must be one of them")
    rows = [Row.parse(text) for text in arguments.rows.split(",")] if arguments.rows else None
    what = machine.describe()
    say(f"{what['kind']}, {what['cpu']}, {what['compiler']}, commit {what['commit']}")
    for model in arguments.models:
        for threads in map(int, arguments.threads.split(",")):
            chosen = [engines[name] for name in wanted]
            results = measure(model, threads, rows, chosen, arguments.rounds, arguments.cache)
            for result in results:
                result["commit"] = what["commit"]
            print(table(results), flush=True)
            others = [r["others"] for r in results if r["others"] is not None]
            print(f"\nOther processes took up to {max(others, default=0):.0%} of the machine.\n", flush=True)
            if arguments.json:
                merge(arguments.json, what, results)


if __name__ == "__main__":
    main()
