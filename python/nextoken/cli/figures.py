"""Files of a measurement: its figures as JSON, and a picture of them."""

from __future__ import annotations

import errno
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol


class Figures(Protocol):
    def write_json(self, path: Path) -> None: ...
    def write_png(self, path: Path) -> None: ...


def check_figures(json_path: Path | None, png_path: Path | None) -> None:
    """Raise now what would else be found behind minutes of measuring: no such folder, the extra `plots` missing."""
    for path in (json_path, png_path):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if png_path is not None and find_spec("matplotlib") is None:
        raise ValueError("--png needs matplotlib: pip install 'nextoken[plots]'")


def write_figures(result: Figures, json_path: Path | None, png_path: Path | None) -> None:
    """Write what was asked for."""
    if json_path is not None:
        result.write_json(json_path)
    if png_path is not None:
        result.write_png(png_path)
