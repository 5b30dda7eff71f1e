"""The kernels that work on rows, one thread: GB/s of what they read and write, beside what copying memory does.

    python bench/kernels/bench_rows.py [--isa avx2] [--json rows.json]

Arrays are those of a prefill of 512 tokens of a model with 576 or 1,536 columns: they stay in a cache, so the limit
printed first is that of copying an array of the same size there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from nextoken import kernels

TOKENS, COLUMNS, HEADS, HEAD_DIM = 512, 576, 9, 64


def median_seconds(run: Callable[[], object], at_least: float = 0.3) -> float:
    run()
    times: list[float] = []
    while len(times) < 5 or sum(times) < at_least:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def cases(isa: str | None) -> dict[str, tuple[Callable[[], object], int]]:
    """Name -> (call, bytes read and written)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TOKENS, COLUMNS), np.float32)
    weight = rng.standard_normal(COLUMNS, np.float32)
    heads = rng.standard_normal((TOKENS, HEADS, HEAD_DIM), np.float32)
    positions = np.arange(TOKENS)
    blocks = kernels.quantize(x, "q8_0")
    k_cache, v_cache = kernels.kv_cache(-(-TOKENS // kernels.KV_BLOCK), HEADS, HEAD_DIM)
    copied = np.empty_like(x)
    return {
        "copy (limit)": (lambda: np.copyto(copied, x), 2 * x.nbytes),
        "rms_norm": (lambda: kernels.rms_norm(x, weight, 1e-5, isa=isa), 2 * x.nbytes),
        "rope": (lambda: kernels.rope(heads, positions, isa=isa), 2 * heads.nbytes),
        "softmax": (lambda: kernels.softmax(x, isa=isa), 2 * x.nbytes),
        "kv_write": (
            lambda: kernels.kv_write(k_cache, v_cache, heads, heads, positions, isa=isa),
            3 * heads.nbytes,  # two arrays of floats in, two of half the size out
        ),
        "quantize q8_0": (lambda: kernels.quantize(x, "q8_0"), x.nbytes + blocks.nbytes),
        "dequantize q8_0": (lambda: kernels.dequantize(blocks, "q8_0", x.shape), x.nbytes + blocks.nbytes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--isa", choices=["scalar", "avx2", "avx512"])
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    results = []
    for name, (run, n_bytes) in cases(options.isa).items():
        seconds = median_seconds(run)
        results.append(
            {"kernel": name, "microseconds": seconds * 1e6, "gigabytes_per_second": n_bytes / seconds / 1e9}
        )
        print(f"{name:16} {seconds * 1e6:9.1f} us {n_bytes / seconds / 1e9:7.2f} GB/s")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
