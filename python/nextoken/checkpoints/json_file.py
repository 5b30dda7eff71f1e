"""JSON of a model folder: read whole, within a limit, and refused where two readers could understand it differently."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from nextoken import _native
from nextoken.checkpoints.gguf import shortened
from nextoken.errors import ModelFormatError

MOST_BYTES = 256 << 20


def read_json(path: str, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object a file holds. ModelFormatError if it is larger than `most`, or no JSON object; OSError."""
    file = _native.File(os.fsencode(path))
    try:
        if file.size > most:
            raise ModelFormatError(
                f"{path}: {file.size} bytes, more than the {most} that are read", path=path, field="file"
            )
        return parse_object(file.read(0, file.size, "file"), path, 0, "file")
    finally:
        file.close()


def parse_object(data: bytes, path: str, offset: int, field: str) -> dict[str, Any]:
    """The JSON object that `data` is, at `offset` of a file. Raises ModelFormatError."""

    def refuse(why: str) -> ModelFormatError:
        return ModelFormatError(f"{path}: the {field} {why}", path=path, offset=offset, field=field)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
            raise refuse(f"has the key {shortened(twice)} twice")
        return value

    def constant(name: str) -> Any:
        raise refuse(f"has {name}, which is no JSON")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise refuse("is nested too deeply") from None
    except ModelFormatError:
        raise
    except ValueError as error:
        raise refuse(f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise refuse(f"is a JSON {type(value).__name__}, an object was expected")
    return value
