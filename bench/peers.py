"""nextoken beside llama.cpp: the same file, the same threads, one after the other in turn.

    python bench/peers.py MODEL.gguf --llama-bench build/bin/llama-bench --threads 2 --json peers.json

Builds nothing: `--llama-bench` (or NEXTOKEN_LLAMA_BENCH) names the program of a llama.cpp that was built natively
(`cmake -B build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON && cmake --build build --target llama-bench`).

Each round runs every case with one engine and then with the other, so that a busy minute meets both. Printed are
medians, the spread (lowest to highest), and the ratio of each round. Prompts are random ids, logits are made for the
last one only, the cache is f16, and both engines run once unmeasured. Times of a machine that does other work at
the time mean little: the share of it that others took is printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from nextoken import LLM


@dataclass(frozen=True)
class Case:
    """`prefill` or `decode` of `tokens`, with `depth` tokens in the cache before it."""

    name: str
    tokens: int
    depth: int = 0


@dataclass
class Result:
    """Tokens/s of each round."""

    case: Case
    nextoken: list[float] = field(default_factory=list)
    llama_cpp: list[float] = field(default_factory=list)

    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.nextoken, self.llama_cpp, strict=True)]


def run_llama_bench(program: Path, model: Path, threads: int, case: Case) -> float:
    """Tokens/s of one case; llama-bench warms up by itself."""
    prefill, decode = (case.tokens, 0) if case.name == "prefill" else (0, case.tokens)
    options = {
        "-m": model,
        "-t": threads,
        "-p": prefill,
        "-n": decode,
        "-d": case.depth,
        "-r": 1,
        "-o": "json",
    }
    command = [str(program), *(str(word) for option in options.items() for word in option)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return float(json.loads(output)[0]["avg_ts"])


def run_nextoken(llm: LLM, case: Case, ids: np.ndarray) -> float:
    """Tokens/s of one case. `ids` has room for the depth and the case."""
    with llm.session() as session:
        if case.depth:
            session.append(ids[: case.depth], logits="none")
        new = ids[case.depth : case.depth + case.tokens]
        start = time.perf_counter()
        if case.name == "prefill":
            session.append(new, logits="last")
        else:
            for i in range(len(new)):
                session.append(new[i : i + 1], logits="last")
        return case.tokens / (time.perf_counter() - start)


def compare(llm: LLM, cases: list[Case], rounds: int, peer: Callable[[Case], float]) -> list[Result]:
    """Every case, in turn with the peer, `rounds` times."""
    ids = np.random.default_rng(0).integers(0, llm.vocab_size, size=max(c.tokens + c.depth for c in cases))
    run_nextoken(llm, Case("prefill", 64), ids)
    results = [Result(case) for case in cases]
    for number in range(rounds):
        for result in results:
            print(f"round {number + 1}: {result.case.name} {result.case.tokens}", file=sys.stderr)
            result.nextoken.append(run_nextoken(llm, result.case, ids))
            result.llama_cpp.append(peer(result.case))
    return results


@contextmanager
def others_share() -> Iterator[list[float]]:
    """Fills the list with the share of all processors that other processes took meanwhile (Linux)."""
    share: list[float] = []
    before = _busy_and_total(), _own_seconds()
    yield share
    after = _busy_and_total(), _own_seconds()
    if after[0] is not None and before[0] is not None:
        busy, total = after[0][0] - before[0][0], after[0][1] - before[0][1]
        share.append(max(0.0, busy - (after[1] - before[1])) / max(total, 1e-9))


def _busy_and_total() -> tuple[float, float] | None:
    """Seconds of all processors since boot."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    per_second = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / per_second, sum(ticks) / per_second


def _own_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_table(results: list[Result]) -> None:
    print(f"{'tokens/s':<22}{'nextoken':>26}{'llama.cpp':>26}{'ratio':>22}")
    for result in results:
        case = result.case
        name = f"{case.name} {case.tokens}" + (f" at depth {case.depth}" if case.depth else "")
        columns = [_spread(result.nextoken, ".1f"), _spread(result.llama_cpp, ".1f")]
        print(f"{name:<22}{columns[0]:>26}{columns[1]:>26}{_spread(result.ratios(), '.2f'):>22}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _spread(values: list[float], form: str) -> str:
    middle = statistics.median(values)
    return f"{middle:{form}} ({min(values):{form}}-{max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument(
        "--llama-bench", type=Path, default=os.environ.get("NEXTOKEN_LLAMA_BENCH"), metavar="PATH"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--decode", type=int, default=128, help="tokens")
    parser.add_argument("--prefill", type=int, default=512, help="tokens")
    parser.add_argument(
        "--depth", type=int, default=2048, help="tokens before the second decode; 0 leaves it out"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the samples there too")
    arguments = parser.parse_args()
    if arguments.llama_bench is None:
        parser.error("give --llama-bench PATH, or set NEXTOKEN_LLAMA_BENCH")

    cases = [Case("decode", arguments.decode), Case("prefill", arguments.prefill)]
    if arguments.depth:
        cases.append(Case("decode", arguments.decode, arguments.depth))
    with LLM(arguments.model, n_threads=arguments.threads) as llm, others_share() as others:
        results = compare(
            llm,
            cases,
            arguments.rounds,
            lambda case: run_llama_bench(arguments.llama_bench, arguments.model, arguments.threads, case),
        )

    print(
        f"{arguments.model.name}, {arguments.threads} threads, {arguments.rounds} rounds, {platform.processor()}"
    )
    print_table(results)
    if others:
        print(f"other processes took {others[0]:.0%} of the machine meanwhile")
    if arguments.json:
        report = {
            "model": arguments.model.name,
            "threads": arguments.threads,
            "others_share": others[0] if others else None,
            "results": [asdict(result) | {"ratios": result.ratios()} for result in results],
        }
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
