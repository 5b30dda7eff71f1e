"""Matmul, one thread: GB/s of weights read and billions of multiply-adds a second, beside what the machine can do.

    python bench/kernels/bench_matmul.py [--types q4_1,q8_0] [--tokens 1,8,512] [--isa avx2] [--json FILE]

For few tokens the weights are larger than the caches and the limit is reading; for many, one matrix of a model is
used again and again and the limit is multiply-adds. The reading limit is measured here by summing an array as large
(NumPy's `sum` of uint64, one thread).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from nextoken import kernels
from nextoken.kernel_arguments import block_of

TYPES = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq2_xs", "iq3_s", "iq4_xs",
         "iq4_nl", "mxfp4", "nvfp4", "f16", "bf16", "f32"]  # fmt: skip
SMALL = 8  # tokens up to which weights come from memory


def seconds(run: Callable[[], object], at_least: float = 0.3) -> tuple[float, float]:
    """(median, best) of a call."""
    run()
    times: list[float] = []
    while len(times) < 5 or sum(times) < at_least:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times), min(times)


def read_limit(n_bytes: int) -> float:
    """GB/s at which one thread reads an array of n_bytes."""
    words = np.ones(n_bytes // 8, np.uint64)
    return words.nbytes / seconds(words.sum)[1] / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--tokens", default="1,2,4,8,32,512")
    parser.add_argument("--isa", default=None, choices=kernels.isas())
    parser.add_argument("--megabytes", type=int, default=96, help="weights read for few tokens")
    parser.add_argument("--json", default=None, help="write the rows to this file")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    rows = []
    print(f"isa {args.isa or kernels.isas()[0]}; reading {args.megabytes} MB: "
          f"{read_limit(args.megabytes * 10**6):.1f} GB/s")  # fmt: skip
    print(f"{'type':6} {'tokens':>6} {'N x K':>13} {'GB/s':>7} {'GMAC/s':>8} {'best':>8}")
    for weight_type in args.types.split(","):
        block, size = block_of(weight_type)
        k = 768 if block == 256 else 576
        # Speed does not depend on values, as long as no scale is denormal.
        part = np.full(64 * k // block * size, 0x2C, np.uint8)
        for tokens in map(int, args.tokens.split(",")):
            n = args.megabytes * 10**6 // len(part) * 64 if tokens <= SMALL else 1536
            weights = kernels.pack(np.tile(part, n // 64), weight_type, (n, k))
            x = rng.standard_normal((tokens, k)).astype(np.float32)
            median, best = seconds(lambda x=x, w=weights: kernels.matmul(x, w, isa=args.isa))  # type: ignore[misc]
            macs = tokens * n * k
            row = {"type": weight_type, "tokens": tokens, "n": n, "k": k, "gbs": weights.nbytes / median / 1e9,
                   "gmacs": macs / median / 1e9, "gmacs_best": macs / best / 1e9}  # fmt: skip
            rows.append(row)
            print(f"{weight_type:6} {tokens:6} {f'{n}x{k}':>13} {row['gbs']:7.1f} {row['gmacs']:8.1f}"
                  f" {row['gmacs_best']:8.1f}")  # fmt: skip
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
