"""Attention alone, one thread: GB/s of the cache in decode, multiply-adds per second in prefill.

    python bench/kernels/bench_attention.py [--isa avx2] [--json attention.json]

Times are processor time of this thread, the best of several, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nextoken import _native, kernels

CASES = {"smollm2-135m": (9, 3, 64), "gemma-3-270m": (4, 1, 256)}  # heads, kv heads, head_dim
# Heads of one task, latent, what rotates.
LATENTS = {"deepseek-v2-lite": (16, 512, 64), "minicpm3-4b": (10, 256, 32)}
TOKENS_A_TASK = 4  # of latents


@dataclass
class Result:
    model: str
    kv_dtype: str
    case: str
    milliseconds: float
    gigabytes_per_second: float | None  # in decode
    giga_multiply_adds_per_second: float


def best(run: Callable[[], object], repeats: int) -> float:
    """Seconds of processor time."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def measure(model: str, kv_dtype: str, n_tokens: int, n_keys: int, isa: str, repeats: int) -> Result:
    """`n_tokens` queries that end a sequence of `n_keys`, all heads."""
    n_heads, n_kv_heads, head_dim = CASES[model]
    rng = np.random.default_rng(0)
    n_blocks = -(-n_keys // kernels.KV_BLOCK)
    k_cache, v_cache = kernels.kv_cache(n_blocks, n_kv_heads, head_dim, kv_dtype)
    k, v = rng.standard_normal((2, n_keys, n_kv_heads, head_dim), np.float32)
    kernels.kv_write(k_cache, v_cache, k, v, np.arange(n_keys))
    q = rng.standard_normal((n_tokens, n_heads, head_dim), np.float32)
    table = np.arange(n_blocks)
    seconds = best(lambda: kernels.paged_attention(q, k_cache, v_cache, table, n_keys, isa=isa), repeats)
    pairs = n_tokens * n_keys - n_tokens * (n_tokens - 1) // 2
    return Result(
        model,
        kv_dtype,
        f"decode at {n_keys}" if n_tokens == 1 else f"prefill {n_tokens}",
        seconds * 1e3,
        (k_cache.nbytes + v_cache.nbytes) / (n_blocks * kernels.KV_BLOCK) * n_keys / seconds / 1e9
        if n_tokens == 1
        else None,
        2 * pairs * n_heads * head_dim / seconds / 1e9,
    )


def measure_latents(model: str, kv_dtype: str, n_tokens: int, n_keys: int, isa: str, repeats: int) -> Result:
    """The same for the heads of one task, which share what a block has become."""
    n_heads, latent_dim, rotated = LATENTS[model]
    head_dim = latent_dim + rotated
    native: Any = _native.kernels
    rng = np.random.default_rng(0)
    blocks = native.latent_blocks(
        rng.standard_normal((n_keys, head_dim), np.float32), latent_dim, kv_dtype, isa
    )
    q = rng.standard_normal((n_tokens, n_heads, head_dim), np.float32)
    scale, step = head_dim**-0.5, TOKENS_A_TASK
    seconds = best(
        lambda: native.attention_to_latents(q, blocks, n_keys, latent_dim, kv_dtype, scale, step, isa=isa),
        repeats,
    )
    pairs = n_tokens * n_keys - n_tokens * (n_tokens - 1) // 2
    return Result(
        model,
        kv_dtype,
        f"decode at {n_keys}" if n_tokens == 1 else f"prefill {n_tokens}",
        seconds * 1e3,
        blocks.nbytes / (len(blocks) * kernels.KV_BLOCK) * n_keys / seconds / 1e9 if n_tokens == 1 else None,
        pairs * n_heads * (head_dim + latent_dim) / seconds / 1e9,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--isa", default=kernels.isas()[0], choices=kernels.isas())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {options.isa}, one thread")
    results = []
    for model in [*CASES, *LATENTS]:
        run = measure if model in CASES else measure_latents
        for n_tokens, n_keys in [(1, 64), (1, 512), (1, 2048), (1, 8192), (512, 512), (2048, 2048)]:
            for kv_dtype in ("f16", "q8"):
                r = run(model, kv_dtype, n_tokens, n_keys, options.isa, options.repeats)
                results.append(r)
                read = "" if r.gigabytes_per_second is None else f"{r.gigabytes_per_second:.1f} GB/s"
                rate = f"{r.giga_multiply_adds_per_second:.1f} G multiply-adds/s"
                print(
                    f"{r.model:16} {r.kv_dtype:4} {r.case:15} {r.milliseconds:9.3f} ms {read:>10} {rate:>23}"
                )
    if options.json:
        with open(options.json, "w") as file:
            json.dump([asdict(r) for r in results], file, indent=1)


if __name__ == "__main__":
    main()
