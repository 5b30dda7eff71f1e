"""Tokens chosen from what a card sends back are those that the CPU chooses from whole rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cuda.models import Shape, write
from nextoken import LLM, SamplingParams, device
from tests.cuda.conftest import CARD_BYTES

SHAPE = Shape(
    hidden=64, ffn=64, layers=1, heads=2, kv_heads=1, vocab=9000, n_ctx=128
)  # three chunks of logits
PROMPT = [5, 8999, 17, 4096]
PARAMS = [
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 0.05},
    {"temperature": 50.0},
    {"temperature": 1.0, "top_k": 1},
    {"temperature": 1.0, "top_k": 40},
    {"temperature": 3.0, "top_k": 40, "top_p": 0.5, "min_p": 0.02},
    {"temperature": 1.0, "top_k": 1024},
    {"temperature": 1.0, "top_k": 5000},
    {"temperature": 0.1, "top_p": 0.9},
    {"temperature": 1.0, "top_p": 0.9},
    {"temperature": 1.0, "top_p": 0.9, "min_p": 0.3},
    {"temperature": 1.0, "min_p": 0.05},
    {"temperature": 0.1, "min_p": 0.2},
    {"temperature": 1.0, "typical_p": 0.4},
    {"temperature": 1.0, "top_k": 30, "typical_p": 0.4},
    {"temperature": 0.0, "repetition_penalty": 1.5},
    {"temperature": 0.7, "top_p": 0.8, "presence_penalty": 1.0},
    {"temperature": 0.5, "allowed_token_ids": [3, 5, 8000]},
]


@pytest.fixture(scope="module")
def both(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LLM, LLM]]:
    path = write(tmp_path_factory.mktemp("sampling") / "m.gguf", SHAPE, "Q8_0")
    with pytest.MonkeyPatch.context() as patch:
        if device.why_not():
            card = host.open(CARD_BYTES)
            patch.setattr(device, "open_card", lambda: card)
        with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
            yield cpu, cuda


@pytest.mark.parametrize(
    "options", PARAMS, ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items())
)
def test_every_way_to_choose_chooses_as_the_cpu(both: tuple[LLM, LLM], options: dict[str, Any]) -> None:
    cpu, cuda = both
    for seed in range(2):
        params = SamplingParams(seed=seed, max_tokens=4, ignore_eos=True, **options)
        assert cuda.generate(PROMPT, params).token_ids == cpu.generate(PROMPT, params).token_ids


@pytest.mark.parametrize(
    ("options", "most"),
    [({}, 100), ({"temperature": 1.0, "top_k": 40}, 10_000), ({"temperature": 1.0}, 30_000)],
)
def test_a_token_costs_one_small_copy_and_no_row_of_logits(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], most: int
) -> None:
    card = host.open(CARD_BYTES)
    monkeypatch.setattr(device, "open_card", lambda: card)
    with LLM(write(tmp_path / "m.gguf", SHAPE, "Q8_0"), device="cuda") as llm:
        session = llm.session()
        session.append(PROMPT, logits="none")
        before = host.downloads(card)
        session.predict([3], SamplingParams(seed=1, **options))
        copies, n_bytes = np.subtract(host.downloads(card), before)
    assert copies == (
        2 if options == {"temperature": 1.0} else 1
    )  # with the chunk of logits that is drawn from
    assert n_bytes < most


def test_logprobs_are_those_of_the_cpu(both: tuple[LLM, LLM]) -> None:
    params = SamplingParams(temperature=1.0, top_k=9, seed=1, logprobs=3, max_tokens=3, ignore_eos=True)
    found, expected = (
        [(t.id, t.logprob, t.top) for t in llm.generate(PROMPT, params).logprobs or ()] for llm in both
    )
    assert found == expected
    assert len(found) == 3


def test_sequences_that_choose_in_different_ways_share_a_pass(both: tuple[LLM, LLM]) -> None:
    found = []
    for llm in both:
        samplers = [llm._intake.sampler(SamplingParams(seed=7, **options)) for options in PARAMS]
        caches = [llm.session()._cache for _ in PARAMS]
        picks = llm._engine.predict(caches, [np.array(PROMPT, np.int32)] * len(PARAMS), samplers)
        found.append([pick.id for pick in picks])
    assert found[0] == found[1]
    assert len(set(found[0])) > 3
