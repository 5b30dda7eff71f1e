"""A profile of a card: its own clock, and the work that the CPU's profile counts."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nextoken import LLM, _native, device, profiling
from nextoken.errors import NumericalError
from tests.cuda.conftest import Card
from tests.families import tiny
from tests.families.family import N_LAYERS, weights
from tests.families.tiny import FAMILIES, write


@pytest.fixture
def small(forwards: Card, monkeypatch: pytest.MonkeyPatch) -> Card:
    """Few passes, and limits measured with little work: the host launcher is slow."""
    monkeypatch.setattr(device, "extension", lambda: forwards.module)
    monkeypatch.setattr(device, "copy_bandwidth", partial(device.copy_bandwidth, 1 << 16, 1))
    monkeypatch.setattr(device, "most_macs", lambda: forwards.module.most_macs(forwards.handle, 1, 2))
    for name, few in (("PREFILL_TOKENS", 12), ("MIN_PASSES", 1), ("CASE_SECONDS", 0.0), ("LOOP_TOKENS", 3)):
        monkeypatch.setattr(profiling, name, few)
    return forwards


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_a_card_does_the_work_of_the_cpu_and_tells_its_time(tmp_path: Path, small: Card, name: str) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES[name], "Q8_0")
    found = []
    for where in ("cpu", "cuda"):
        with LLM(path, device=where, n_threads=1) as llm:
            found.append(profiling.run(llm, batches=[1, 2], depths=[0, 70], memory=1 << 28))
    assert found[1].isa == "cuda"
    assert [(c.phase, c.batch, c.depth) for c in found[0].cases] == [
        (c.phase, c.batch, c.depth) for c in found[1].cases
    ]
    for cpu, card in zip(found[0].cases, found[1].cases, strict=True):
        ops = {op.name: op for op in card.ops}
        for op in cpu.ops:
            if op.bytes:
                work = ops[op.name]
                assert (work.calls, work.bytes, work.macs) == (op.calls, op.bytes, op.macs)
                assert work.seconds > 0
        assert {"norm", "rope", "sampling"} <= set(ops)
        assert card.outside_s > 0  # what the card takes fits into the time of the call
        assert all(op.seconds >= 0 for op in card.ops)
    assert json.dumps(found[1].to_dict())
    assert all(limit > 0 for limit in vars(found[1].limits).values())


def test_laps_of_a_pass_that_failed_are_not_those_of_the_next(tmp_path: Path, small: Card) -> None:
    spoilt = weights(FAMILIES["llama"])
    spoilt[next(key for key in spoilt if "embed_tokens" in key)][5] = np.inf
    path = tmp_path / "m.gguf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "weights", lambda family: spoilt)
        write(path, FAMILIES["llama"], "F32")
    with LLM(path, device="cuda", check=False) as llm:
        engine, profile = llm._engine, _native.Profile()
        cache = engine.new_cache()
        for token in (1, 5, 2):
            if token == 5:
                with pytest.raises(NumericalError):
                    _native.append(engine.model, [cache], [[token]], "last", profile=profile)
            else:
                _native.append(engine.model, [cache], [[token]], "last", profile=profile)
    found = profile.decode()
    assert (found["passes"], found["rows"]) == (2, 2)
    calls = {name: calls for name, calls, *_ in found["ops"]}
    assert calls["attention"] == calls["down"] == 2 * N_LAYERS
