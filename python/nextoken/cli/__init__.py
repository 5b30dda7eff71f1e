"""The command `nextoken`."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Ctrl-C ends it with exit code 130, while its libraries are imported too."""
    try:
        from nextoken.cli.app import run

        run(arguments)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
