"""What an installed nextoken does on this processor: run by the Python it is installed for, emulated or not.

    python check_installed.py TINY_MODELS [MODEL.gguf]

TINY_MODELS is a folder as scripts/tiny_models.py writes it: the logits of each model in it must have the hash on
record. MODEL.gguf has to write text. Needs nothing but nextoken and NumPy.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path


def main(tiny_models: Path, model: Path | None) -> None:
    import nextoken

    strangers = {"typer", "rich", "jinja2"} & sys.modules.keys()
    assert not strangers, f"import nextoken imports {strangers}"
    import numpy as np

    from nextoken import LLM

    cases = json.loads((tiny_models / "hashes.json").read_text())
    wrong, isa = [], ""
    for case in cases:
        with LLM(tiny_models / case["file"], n_threads=2, kv_dtype=case["kv_dtype"]) as llm:
            isa = llm.isa
            ids = np.random.default_rng(5).integers(0, llm.vocab_size, 40).tolist()
            logits = llm([ids])[0]
        if hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest() != case["logits"]:
            wrong.append(case["name"])
    assert not wrong, f"{isa}: other bits for {wrong}"
    said = f"{len(cases)} hashes equal"
    if model is not None:
        with LLM(model) as llm:
            said += f", {llm.generate('The capital of France is', max_tokens=4).text!r}"
    print(f"{nextoken.__version__}, Python {platform.python_version()}, {platform.machine()}, {isa}: {said}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
