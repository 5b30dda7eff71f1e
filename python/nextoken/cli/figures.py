"""Files of a measurement: its figures as JSON, and a picture of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Figures(Protocol):
    def write_json(self, path: Path) -> None: ...
    def write_png(self, path: Path) -> None: ...


def write_figures(result: Figures, json_path: Path | None, png_path: Path | None) -> None:
    """Write what was asked for. ValueError if a picture was and the extra `plots` is not installed."""
    if json_path is not None:
        result.write_json(json_path)
    if png_path is not None:
        try:
            result.write_png(png_path)
        except ModuleNotFoundError as error:
            raise ValueError(f"--png needs {error.name}: pip install 'nextoken[plots]'") from None
