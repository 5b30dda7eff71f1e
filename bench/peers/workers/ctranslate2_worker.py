"""CTranslate2 as a worker: ctranslate2_worker.py FOLDER THREADS"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import ctranslate2
from serve import serve


class Engine:
    def __init__(self, folder: str, threads: int) -> None:
        self.generator = ctranslate2.Generator(folder, intra_threads=threads, compute_type="int8")
        self.tokens: list[str] = json.loads((Path(folder) / "vocabulary.json").read_text())
        self.vocab_size = len(self.tokens)

    def stamps(self, prompt: list[int], n: int) -> list[float]:
        texts = [self.tokens[i] for i in prompt]
        steps = self.generator.generate_tokens(texts, max_length=n, min_length=n, sampling_topk=1)
        return [time.perf_counter() for _ in steps]

    def batch(self, prompts: list[list[int]], n: int) -> None:
        raise NotImplementedError(
            "prompts of several lengths are read token by token: the pass can not be timed"
        )


if __name__ == "__main__":
    serve(Engine(sys.argv[1], int(sys.argv[2])))
