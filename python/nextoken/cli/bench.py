"""nextoken bench: measurements a reader can repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from nextoken import cache_benchmark
from nextoken.cli.figures import check_figures, write_figures
from nextoken.cli.opening import DeviceOption, JsonOption, ModelArgument, ThreadsOption, open_model

PROMPT = "Once upon a time, in a small house at the edge of a wood,"

bench_app = typer.Typer(help="Measure.", no_args_is_help=True, rich_markup_mode=None)


@bench_app.callback()
def _bench() -> None:
    """Measure."""


@bench_app.command("cache")
def cache_command(
    model: ModelArgument = "smollm2-135m",
    full: Annotated[
        bool, typer.Option("--full", help="Go on to lengths where uncached decoding takes minutes.")
    ] = False,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Measurements of each length; medians are shown.")
    ] = 3,
    json_path: Annotated[
        Path | None, typer.Option("--json-file", help="Write the figures to this file.")
    ] = None,
    png_path: Annotated[
        Path | None, typer.Option("--png", help="Draw them (needs the extra 'plots').")
    ] = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Cached against uncached decoding at growing lengths, and reading beside writing.

    Example: nextoken bench cache smollm2-135m --png cache.png --json-file cache.json
    """
    check_figures(json_path, png_path)
    console = Console(highlight=False)
    with open_model(model, threads, device=device) as llm:
        prompt = llm.tokenizer.encode(PROMPT)
        result = cache_benchmark.run(llm, prompt, full=full, rounds=rounds)
    write_figures(result, json_path, png_path)
    if as_json:
        print(json.dumps(result.to_dict()))
        return
    table = Table(
        title=f"{result.model}, {result.isa}, {result.n_threads} threads", box=None, padding=(0, 2, 0, 0)
    )
    for column in (
        "tokens",
        "passes",
        "rows cached",
        "rows uncached",
        "cached tok/s",
        "uncached tok/s",
        "speed-up",
    ):
        table.add_column(column, justify="right")
    for row in result.rows:
        table.add_row(
            str(row.generated),
            str(row.passes),
            str(row.cached_rows),
            str(row.uncached_rows),
            f"{row.cached_rate:.1f}",
            f"{row.uncached_rate:.1f}",
            f"{row.speedup:.1f}x",
        )
    console.print(table)
    console.print("Same tokens on both sides. A row is one token through all layers.")
    if result.skipped:
        console.print(
            f"Left out, since uncached work grows with the square: {list(result.skipped)}; --full measures them."
        )
    console.print(
        f"Reading {result.prefill_tokens} tokens at once: {result.prefill_rate:.0f} tokens/s. "
        f"Writing one at a time: {result.decode_rate:.0f} tokens/s."
    )
    console.print("Every token written reads all weights anew; the tokens of a prompt share one reading.")
