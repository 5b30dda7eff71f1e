"""nextoken profile: where the time of a prefill and of a token goes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nextoken import profiling
from nextoken.cli.figures import check_figures, write_figures
from nextoken.cli.opening import (
    ContextOption,
    DeviceOption,
    JsonOption,
    KvOption,
    ModelArgument,
    ThreadsOption,
    open_model,
)

MEANING = {
    "embed": "embedding",
    "norm": "norm, quantise, add",
    "qkv": "q, k, v matmul",
    "rope": "rope, cache write",
    "latents": "matrices of heads, latents",
    "attention": "attention",
    "attn_out": "output matmul",
    "gate_up": "gate, up matmul",
    "activation": "gate * up, quantise",
    "down": "down matmul",
    "head": "head matmul",
    "sampling": "sampling",
    "rest": "rest of the pass",
}


def profile_command(
    model: ModelArgument,
    batch: Annotated[str, typer.Option("--batch", help="Numbers of sequences.")] = "1,8,64",
    depth: Annotated[
        str, typer.Option("--depth", help="Tokens in the cache before the pass.")
    ] = "0,2048,8192,32768",
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory", help="GiB of cache a case may take; half of what is available if not given."
        ),
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json-file", help="Write the figures to this file.")
    ] = None,
    png_path: Annotated[
        Path | None, typer.Option("--png", help="Draw the roofline (needs the extra 'plots').")
    ] = None,
    threads: ThreadsOption = None,
    n_ctx: ContextOption = None,
    kv_dtype: KvOption = "f16",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Where the time of a prefill and of a token goes, op by op, beside the limits of this machine, or of its card.

    Example: nextoken profile smollm2-135m --batch 1,8 --depth 0,2048 --png roofline.png
    """
    batches, depths = _numbers(batch, "--batch"), _numbers(depth, "--depth")
    if memory is not None and not 0 <= memory < math.inf:
        raise ValueError(f"--memory: expected a number of GiB, got {memory}")
    check_figures(json_path, png_path)
    with open_model(model, threads, n_ctx, kv_dtype, device=device) as llm:
        result = profiling.run(
            llm, batches=batches, depths=depths, memory=None if memory is None else int(memory * 2**30)
        )
    write_figures(result, json_path, png_path)
    if as_json:
        print(json.dumps(result.to_dict()))
        return
    _print(result)


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option}: expected numbers with commas between them, got {text!r}") from None


def _print(result: profiling.ModelProfile) -> None:
    console = Console(highlight=False)
    limits = result.limits
    place, memory = ("card", "copied") if result.isa == "cuda" else ("machine", "from memory")
    console.print(
        f"{result.model}, {result.isa}, {result.n_threads} threads, cache {result.kv_dtype}. This {place} at best: "
        f"{limits.read_bytes_per_s / 1e9:.1f} GB/s {memory}, {limits.int8_macs_per_s / 1e9:.0f} G int8 and "
        f"{limits.float_macs_per_s / 1e9:.0f} G float multiply-adds/s."
    )
    for case in result.cases:
        console.print()
        console.print(_table(case, limits))
    loop = result.loop
    console.print(
        f"\nllm.stream, {loop.tokens} tokens: {loop.seconds_per_token * 1e6:.0f} us a token, of them "
        f"{loop.outside_s * 1e6:.0f} us outside the native pass (Python and the binding)."
    )
    console.print(
        "waiting: us a thread spent without work, on average. of limit: the time that reading (from memory) or "
        "arithmetic needs at best, over the time taken; above 100 % what is read stays in a cache."
    )
    for what in result.left_out:
        console.print(f"left out: {what}")


def _table(case: profiling.Case, limits: profiling.Limits) -> Table:
    title = (
        f"{case.phase} of {case.tokens} tokens, batch {case.batch}, depth {case.depth}: "
        f"{case.seconds * 1e3:.2f} ms, {case.tokens_per_s:.0f} tokens/s"
    )
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("", "us", "share", "waiting", "GB/s", "GMAC/s", "of limit"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for op in case.ops:
        counted = bool(op.bytes) and op.seconds > 0
        table.add_row(
            MEANING[op.name],
            f"{op.seconds * 1e6:.0f}",
            f"{op.seconds / case.seconds:.1%}",
            f"{op.waiting_s * 1e6:.0f}",
            f"{op.bytes_per_s / 1e9:.1f}" if counted else "",
            f"{op.macs_per_s / 1e9:.0f}" if counted else "",
            f"{limits.least_seconds(op) / op.seconds:.0%}" if counted else "",
        )
    table.add_row(
        "the native pass", f"{case.seconds * 1e6:.0f}", "", f"{case.waiting_s * 1e6:.0f}", style="bold"
    )
    table.add_row("outside it, a call", f"{case.outside_s * 1e6:.0f}")
    return table
