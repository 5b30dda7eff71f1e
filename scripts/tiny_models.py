"""Write the tiny random models behind tests/bits/hashes.json to a folder, and what hash each gives with which cache.

PYTHONPATH=python:. python scripts/tiny_models.py build/tiny
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bits.make_hashes import HASHES, hash_of_file, model_of


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, hashes in json.loads(HASHES.read_text()).items():
        model, _, cache = name.partition(", ")  # "llama F32, q8 cache"
        path = model_of(folder, *model.split())
        assert hash_of_file(path) == hashes["file"], f"{name}: NumPy or gguf make another file now"
        kv_dtype = cache.split()[0] if cache else "f16"
        cases.append({"name": name, "file": path.name, "kv_dtype": kv_dtype, "logits": hashes["logits"]})
    (folder / "hashes.json").write_text(json.dumps(cases, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
