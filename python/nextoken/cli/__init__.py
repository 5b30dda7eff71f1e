"""The command `nextoken`."""

from nextoken.cli.app import main

__all__ = ["main"]
