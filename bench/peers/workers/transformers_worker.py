"""transformers as a worker: transformers_worker.py FOLDER THREADS float32|bfloat16"""

from __future__ import annotations

import sys
import time

import torch
from serve import serve
from transformers import AutoModelForCausalLM


class Engine:
    def __init__(self, folder: str, threads: int, dtype: str) -> None:
        torch.set_num_threads(threads)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        self.vocab_size = self.model.config.vocab_size

    def steps(self, ids: torch.Tensor, mask: torch.Tensor, n: int) -> list[float]:
        found, cache = [], None
        for _ in range(n):
            out = self.model(
                input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            found.append(time.perf_counter())
        return found

    @torch.inference_mode()
    def stamps(self, prompt: list[int], n: int) -> list[float]:
        ids = torch.tensor([prompt])
        return self.steps(ids, torch.ones_like(ids), n)

    @torch.inference_mode()
    def batch(self, prompts: list[list[int]], n: int) -> None:
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        self.steps(ids, mask, n)


if __name__ == "__main__":
    serve(Engine(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
