"""How far a float model moves when it is quantised, by `dtype=` and by llama.cpp's quantiser.

    python -m bench.quantisers smollm2-f16.gguf --llama-quantize build/bin/llama-quantize

Mean KL divergence, in nats a token, from the float model's logits to those of the quantised one, over the texts of the
tests, and the difference over the same tokens with its standard error. Both run here: only the bytes differ. Neither
quantiser sees an importance matrix. The head has the same type, and so have rows that are no whole blocks of 256.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextoken import LLM
from nextoken.checkpoints.gguf import open_gguf

TEXTS = Path(__file__).parent.parent / "tests" / "models" / "texts.json"
TYPES = ("q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0")


def log_probabilities(
    path: Path, ids: list[list[int]], dtype: str | None = None
) -> Iterator[npt.NDArray[np.float64]]:
    """Of each text (T, V)."""
    with LLM(path, dtype=dtype) as llm:
        for row in ids:
            logits = np.asarray(llm([row]))[0].astype(np.float64)
            top = logits.max(axis=-1, keepdims=True)
            yield logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def divergence(
    model: Path, quantised: Path, ids: list[list[int]], dtype: str | None
) -> npt.NDArray[np.float64]:
    """(T,) KL from `model` to `quantised`."""
    pairs = zip(log_probabilities(model, ids), log_probabilities(quantised, ids, dtype), strict=True)
    return np.concatenate([(np.exp(p) * (p - q)).sum(axis=-1) for p, q in pairs])


def by_llama_cpp(model: Path, kind: str, head: str, folder: Path, program: Path) -> Path:
    path = folder / f"{kind}.gguf"
    options = ["--pure", "--token-embedding-type", head, "--output-tensor-type", head]
    subprocess.run(
        [str(program), *options, str(model), str(path), kind.upper()], check=True, capture_output=True
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a GGUF file of floats")
    parser.add_argument("--llama-quantize", type=Path, default=Path("llama-quantize"), metavar="PROGRAM")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--tokens", type=int, default=300, help="at most, of each text")
    arguments = parser.parse_args()
    with LLM(arguments.model) as llm:
        encode = llm.tokenizer.encode
        ids = [encode(text["text"])[: arguments.tokens] for text in json.loads(TEXTS.read_text())]
    with open_gguf(arguments.model) as checkpoint:
        row = checkpoint.tensors["token_embd.weight"].shape[0]
    print(f"{arguments.model.name}, {sum(map(len, ids))} tokens\n")
    print("| | KL | of llama.cpp | difference |\n|---|---|---|---|")
    for kind in arguments.types.split(","):
        with tempfile.TemporaryDirectory() as folder:
            head = "q8_0" if kind == "q8_0" or row % 256 else "q6_k"
            theirs = by_llama_cpp(arguments.model, kind, head, Path(folder), arguments.llama_quantize)
            kl = [
                divergence(arguments.model, arguments.model, ids, kind),
                divergence(arguments.model, theirs, ids, None),
            ]
        apart = kl[0] - kl[1]
        error = apart.std(ddof=1) / np.sqrt(apart.size)
        print(
            f"| {kind} | {kl[0].mean():.5f} | {kl[1].mean():.5f} | {apart.mean():+.5f} +- {error:.5f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
