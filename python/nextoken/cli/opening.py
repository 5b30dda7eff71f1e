"""Options every command that runs a model has, and opening that model with progress to look at."""

from __future__ import annotations

import resource
import sys
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from nextoken.checkpoints import catalogue
from nextoken.llm import LLM

ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A GGUF file, a Hugging Face folder, a name from `nextoken models`, or owner/name of the hub.",
        metavar="MODEL",
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", "-t", help="Threads; the physical cores if not given.")
]
ContextOption = Annotated[
    int | None, typer.Option("--n-ctx", help="Most tokens of a sequence; the model's own if not given.")
]
KvOption = Annotated[str, typer.Option("--kv-dtype", help="Type of cached keys and values: f16, f32 or q8.")]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype", help="Type a float model is converted to while it loads: q8_0, q4_0, q4_k, f16 ..."
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", help="Where it runs: cpu, cuda, or auto, a card if there is one that runs it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def open_model(
    model: str,
    n_threads: int | None = None,
    n_ctx: int | None = None,
    kv_dtype: str = "f16",
    dtype: str | None = None,
    device: str = "cpu",
) -> LLM:
    """The model, downloaded if the catalogue has it and this machine not; progress shows on a terminal's stderr."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar if sys.stderr.isatty() else nullcontext():
        path = model
        if catalogue.is_name(model):
            task = bar.add_task(f"downloading {model}", total=None)
            path = str(
                catalogue.fetch(model, lambda done, total: bar.update(task, completed=done, total=total))
            )
            bar.remove_task(task)
        task = bar.add_task("loading", total=None)
        return LLM(
            path,
            n_threads=n_threads,
            n_ctx=n_ctx,
            kv_dtype=kv_dtype,
            dtype=dtype,
            device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def peak_memory() -> int:
    """Bytes of the largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def mib(n: float) -> str:
    return f"{n / 2**20:.1f} MiB"
