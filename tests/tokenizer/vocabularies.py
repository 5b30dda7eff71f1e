"""The vocabulary-only GGUF files of llama.cpp's repository, and what llama.cpp makes of our strings with them.

The source distribution llama-cpp-python==0.3.36 has them under vendor/llama.cpp/models; NEXTOKEN_VOCABULARIES names
that folder. vocabularies.json is written by

    PYTHONPATH=. NEXTOKEN_VOCABULARIES=FOLDER python -m tests.tokenizer.vocabularies TOKENIZE

with TOKENIZE as in make_reference.py: for every file four bytes of a SHA-256 over the ids of each hundred strings.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.tokenizer.make_strings import strings

REFERENCE = Path(__file__).with_name("vocabularies.json")
NAMES = (
    "command-r", "deepseek-coder", "deepseek-llm", "falcon", "gpt-2", "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2",
    "qwen35", "refact", "starcoder",
)  # fmt: skip
GROUP = 100
# One name for each pattern: the vocabulary of Llama 3 under another pre-tokenizer, to see where it cuts.
CUTTERS = (
    "gpt-2", "gpt-4o", "qwen2",
)  # fmt: skip


def folder() -> Path | None:
    """Where the files are, if anybody said so."""
    path = os.environ.get("NEXTOKEN_VOCABULARIES")
    return Path(path) if path else None


def file_of(where: Path, name: str) -> Path:
    return where / f"ggml-vocab-{name}.gguf"


def recut(where: Path, cutter: str, to: Path) -> Path:
    """Llama 3's vocabulary whose `tokenizer.ggml.pre` says something else."""
    data, key = file_of(where, "llama-bpe").read_bytes(), b"tokenizer.ggml.pre"
    value = data.index(key) + len(key) + 4  # behind the value's type
    length = int.from_bytes(data[value : value + 8], "little")
    text = len(cutter).to_bytes(8, "little") + cutter.encode()
    to.write_bytes(data[:value] + text + data[value + 8 + length :])
    return to


def digests(ids: Sequence[Sequence[int]]) -> list[str]:
    """One digest a group of strings."""
    groups = [[list(row) for row in ids[i : i + GROUP]] for i in range(0, len(ids), GROUP)]
    return [hashlib.sha256(json.dumps(group).encode()).hexdigest()[:8] for group in groups]


def tokenize(program: str, model: Path, texts: list[str]) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as room:
        source, result = Path(room, "in"), Path(room, "out")
        source.write_text("".join(json.dumps(text) + "\n" for text in texts))
        subprocess.run([program, model, source, result], check=True, stderr=subprocess.DEVNULL)
        return [json.loads(line) for line in result.read_text().splitlines()]


def main() -> None:
    where, texts = folder(), strings()
    assert where is not None
    reference = {name: digests(tokenize(sys.argv[1], file_of(where, name), texts)) for name in NAMES}
    with tempfile.TemporaryDirectory() as room:
        for cutter in CUTTERS:
            file = recut(where, cutter, Path(room, "m.gguf"))
            reference[f"llama-bpe as {cutter}"] = digests(tokenize(sys.argv[1], file, texts))
    lines = (f'"{name}": {json.dumps(rows, separators=(",", ":"))}' for name, rows in reference.items())
    REFERENCE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
