"""Writes llama_cpp_ids.json: what llama.cpp makes of the strings of make_strings.py.

    python make_reference.py TOKENIZE smollm2.gguf gemma3.gguf

TOKENIZE is a program over llama.cpp's `llama_tokenize`, called as `TOKENIZE MODEL IN OUT [--add-special]`: it reads
a JSON string a line and writes a JSON list of ids a line, with parse_special false. Per model the file has the ids
of the first strings in full, and for all strings the first four bytes of a SHA-256 over the ids of both ways.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from make_strings import strings

N_IN_FULL = 300


def digest(plain: Iterable[int], with_special: Iterable[int]) -> str:
    return hashlib.sha256(json.dumps([list(plain), list(with_special)]).encode()).hexdigest()[:8]


def tokenize(program: str, model: str, texts: list[str], *flags: str) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "in"), Path(folder, "out")
        source.write_text("".join(json.dumps(text) + "\n" for text in texts))
        subprocess.run([program, model, source, result, *flags], check=True, stderr=subprocess.DEVNULL)
        return [json.loads(line) for line in result.read_text().splitlines()]


if __name__ == "__main__":
    program, *models = sys.argv[1:]
    texts = strings()
    reference = {}
    for name, model in zip(("smollm2-135m", "gemma-3-270m"), models, strict=True):
        plain = tokenize(program, model, texts)
        special = tokenize(program, model, texts, "--add-special")
        reference[name] = {
            "ids": plain[:N_IN_FULL],
            "digests": "".join(digest(p, s) for p, s in zip(plain, special, strict=True)),
        }
    path = Path(__file__).with_name("llama_cpp_ids.json")
    path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
