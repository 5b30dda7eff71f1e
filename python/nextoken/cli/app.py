"""The commands put together, and what they share: opening a model with a progress bar, and errors in one line."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from nextoken import __version__
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
        print(f"nextoken {__version__}")
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
    else:
        logging.basicConfig(format="%(message)s")


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors of ours are one line on stderr and exit code 1, never a traceback."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the program without a word
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller (`2>&-`)
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for the whole run)
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            # What a terminal lacks shows as another character, what is typed and is none is read as U+FFFD.
            stream.reconfigure(errors="replace")
    try:
        app(args=[_whole_characters(text) for text in sys.argv[1:]] if arguments is None else list(arguments))
    except (Error, OSError, MemoryError, ValueError) as error:
        _complain(error)
        raise SystemExit(1) from None


def _whole_characters(argument: str) -> str:
    """Bytes that Python could not read in this locale: as UTF-8, or as U+FFFD where they are none."""
    if any("\udc80" <= character <= "\udcff" for character in argument):
        return os.fsencode(argument).decode("utf-8", "replace")
    return argument


def _complain(error: BaseException) -> None:
    text: Any = error
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    Console(stderr=True).print(f"nextoken: {text}", markup=False, highlight=False, soft_wrap=True)
