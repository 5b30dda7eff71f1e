"""nextoken models: the catalogue."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from nextoken.checkpoints import catalogue
from nextoken.cli.opening import JsonOption, mib


def models_command(as_json: JsonOption = False) -> None:
    """List the models that can be named instead of a path: size, licence, checksum, and whether they are here.

    Example: nextoken models --json
    """
    entries: list[dict[str, Any]] = []
    for name, entry in catalogue.CATALOGUE.items():
        local = catalogue.local_path(name)
        entries.append(
            {
                "name": name,
                "description": entry.description,
                "bytes": entry.size,
                "license": entry.license,
                "sha256": entry.sha256,
                "path": None if local is None else str(local),
            }
        )
    if as_json:
        print(json.dumps(entries))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "size", "licence", "here", "sha256"):
        table.add_column(column)
    for row in entries:
        here = "yes" if row["path"] else "no"
        table.add_row(row["name"], mib(row["bytes"]), row["license"], here, row["sha256"][:12] + "...")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for row in entries:
        console.print(f"{row['name']}: {row['description']}")
