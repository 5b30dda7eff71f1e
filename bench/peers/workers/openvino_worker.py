"""OpenVINO GenAI as a worker: openvino_worker.py MODEL.gguf THREADS"""

from __future__ import annotations

import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai
from serve import serve


class Engine:
    def __init__(self, path: str, threads: int) -> None:
        self.pipeline = genai.LLMPipeline(path, "CPU", INFERENCE_NUM_THREADS=threads)
        self.vocab_size = len(self.pipeline.get_tokenizer().get_vocab())

    def config(self, n: int) -> genai.GenerationConfig:
        config = genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = n
        config.ignore_eos = True
        return config

    def stamps(self, prompt: list[int], n: int) -> list[float]:
        found: list[float] = []

        def token(_: object) -> genai.StreamingStatus:
            found.append(time.perf_counter())
            return genai.StreamingStatus.RUNNING

        class Streamer(genai.StreamerBase):  # type: ignore[misc]
            def write(self, tokens: int | list[int]) -> genai.StreamingStatus:
                return token(tokens)

            def end(self) -> None:
                pass

        self.pipeline.generate(ov.Tensor(np.array([prompt], np.int64)), self.config(n), Streamer())
        return found

    def batch(self, prompts: list[list[int]], n: int) -> None:
        longest = max(map(len, prompts))
        ids = np.array([[0] * (longest - len(p)) + p for p in prompts], np.int64)
        mask = np.array([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], np.int64)
        inputs = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(mask))
        self.pipeline.generate(inputs, self.config(n))


if __name__ == "__main__":
    serve(Engine(sys.argv[1], int(sys.argv[2])))
