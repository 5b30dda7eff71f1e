"""Loading: how long it takes, and the most memory beside the size of the file. Each model in a process of its own.

    python -m bench.load MODEL.gguf ...
    python -m bench.load --sparse 12        a file of 12 GB in the shape of Llama 3 70B, all zeros, that takes no disk

Memory is the most that was resident from the start of the load on, less what was before: weights, reading, tokenizer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.models import SHAPES, write_random

LARGE = replace(SHAPES["mistral-7b"], hidden=8192, ffn=28672, heads=64, vocab=128256)
MIX = "q4_k_m"

PROGRAM = """
import json, os, resource, sys, time
from nextoken import LLM
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
calls, before, start = [], resident(), time.perf_counter()
llm = LLM(sys.argv[1], n_ctx=64, progress=lambda done, total: calls.append((time.perf_counter(), done / total)))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
steps = [b[1] - a[1] for a, b in zip(calls, calls[1:])]
llm.tokenizer
print(json.dumps({"file_bytes": os.path.getsize(sys.argv[1]), "weight_bytes": llm.nbytes,
                  "peak_bytes": peak - before, "seconds": seconds, "calls": len(calls), "last": calls[-1][1],
                  "largest_step": max(steps, default=1.0), "backwards": min(steps, default=0.0) < 0}))
"""


@dataclass(frozen=True)
class Load:
    """One load, as PROGRAM saw it; steps of the progress are shares of the whole."""

    file_bytes: int
    weight_bytes: int
    peak_bytes: int
    seconds: float
    calls: int
    last: float
    largest_step: float
    backwards: bool

    def __str__(self) -> str:
        size, rate = self.file_bytes / 1e9, self.file_bytes / self.seconds / 1e9
        weights, peak = self.weight_bytes / self.file_bytes, self.peak_bytes / self.file_bytes
        return (
            f"{size:.2f} GB in {self.seconds:.1f} s ({rate:.2f} GB/s); weights {weights:.3f}, peak {peak:.3f} of the "
            f"file; {self.calls} reports, at most {self.largest_step:.2%} apart"
        )


def measure(path: Path) -> Load:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], check=True, capture_output=True, text=True
    )
    return Load(**json.loads(done.stdout))


def sparse_model(folder: Path, gigabytes: float) -> Path:
    """A file of about that size whose weights are holes."""
    path, sizes = folder / "sparse.gguf", []
    for layers in (8, 16):
        write_random(path, replace(LARGE, layers=layers), MIX, sparse=True)
        sizes.append(path.stat().st_size)
    more = (gigabytes * 1e9 - sizes[0]) / (sizes[1] - sizes[0]) * 8
    write_random(path, replace(LARGE, layers=max(1, 8 + round(more))), MIX, sparse=True)
    return path


def models(arguments: argparse.Namespace, folder: Path) -> Iterator[Path]:
    yield from arguments.models
    if arguments.sparse is not None:
        yield sparse_model(folder, arguments.sparse)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--sparse", type=float, metavar="GB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in models(arguments, Path(folder)):
            print(f"{path.name}: {measure(path)}", flush=True)


if __name__ == "__main__":
    main()
