"""The commands put together, and what they share: opening a model with a progress bar, and errors in one line."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console

from nextoken.cli.bench import bench_app
from nextoken.cli.explain import explain_command
from nextoken.cli.inspect import inspect_command
from nextoken.cli.models import models_command
from nextoken.cli.profile import profile_command
from nextoken.cli.run import run_command
from nextoken.errors import Error

app = typer.Typer(
    name="nextoken",
    help="Run trained Transformer language models, and look at how they do it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.command("run")(run_command)
app.command("explain")(explain_command)
app.command("inspect")(inspect_command)
app.command("models")(models_command)
app.command("profile")(profile_command)
app.add_typer(bench_app, name="bench")


def _version(value: bool) -> None:
    if value:
        print(f"nextoken {version('nextoken')}")
        raise typer.Exit


@app.callback()
def _options(
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what is logged.")] = False,
) -> None:
    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors of ours are one line on stderr and exit code 1, never a traceback."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the program without a word
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that lacks a character shows another, and goes on
    try:
        app(args=None if arguments is None else list(arguments))
    except (Error, OSError, MemoryError, ValueError) as error:
        _complain(error)
        raise SystemExit(1) from None


def _complain(error: BaseException) -> None:
    text: Any = error
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    Console(stderr=True).print(f"nextoken: {text}", markup=False, highlight=False, soft_wrap=True)
