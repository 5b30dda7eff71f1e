"""Write the tiny random models behind tests/bits/hashes.json to a folder, with the hashes beside them.

PYTHONPATH=python:. python scripts/tiny_models.py build/tiny
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bits.make_hashes import HASHES, hash_of_file, model_of


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    expected = json.loads(HASHES.read_text())
    for name, hashes in expected.items():
        path = model_of(folder, *name.split())
        assert hash_of_file(path) == hashes["file"], f"{name}: NumPy or gguf make another file now"
    (folder / "hashes.json").write_text(HASHES.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
