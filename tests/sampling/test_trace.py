"""What `explain` shows: every stage, what it left and what it removed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nextoken.sampling import SamplingParams
from tests.sampling import reference
from tests.sampling.test_choice import logits

ALL = SamplingParams(
    temperature=0.8,
    top_k=40,
    typical_p=0.95,
    top_p=0.9,
    min_p=0.02,
    repetition_penalty=1.1,
    presence_penalty=0.5,
    logit_bias={3: 1.0},
    allowed_token_ids=range(500),
    logprobs=2,
    seed=5,
)
NAMES = (
    "logits undecodable allowed_token_ids logit_bias repetition_penalty presence_penalty,frequency_penalty "
    "temperature top_k typical_p top_p min_p draw"
)


def test_explain_gives_the_same_pick_and_all_stages_in_order() -> None:
    x = logits(4, 700)
    s = ALL.sampler(700, n_decodable=690)
    s.observe_prompt([1, 2])
    s.observe([3])
    pick, stages = s.explain(x, 9, shown=4)
    plain = s.choose(x, 9)
    assert (pick.id, pick.logprob, pick.top) == (plain.id, plain.logprob, plain.top)
    assert [stage.name.replace(", ", ",") for stage in stages] == NAMES.split()
    assert stages[0].remaining == 700
    assert stages[1].removed == 10
    assert stages[2].remaining == 500
    assert stages[7].remaining == 40
    for before, stage in itertools.pairwise(stages):
        assert stage.removed == before.remaining - stage.remaining
        assert len(stage.dropped) == min(4, stage.removed)
        assert len(stage.kept) == min(4, stage.remaining)
    assert stages[-1].kept == [(pick.id, 1.0)]


def test_probabilities_of_a_stage_are_those_it_left() -> None:
    x = logits(4, 300)
    _, stages = SamplingParams(temperature=0.5, top_k=10, seed=0).sampler(300).explain(x, 0, shown=300)
    at_first, warm, few, _ = stages
    want = np.exp(reference.log_softmax(x))
    assert [p for _, p in at_first.kept] == pytest.approx(sorted(want, reverse=True), rel=1e-12)
    assert sum(p for _, p in warm.kept) == pytest.approx(1, rel=1e-12)
    assert sum(p for _, p in few.kept) == pytest.approx(1, rel=1e-12)
    assert few.dropped == [(i, p) for i, p in warm.kept if i not in dict(few.kept)]
    best, second = few.kept[:2]
    assert best[1] / second[1] == pytest.approx(float(np.exp((x[best[0]] - x[second[0]]) / 0.5)), rel=1e-5)


def test_greedy_has_two_stages() -> None:
    pick, stages = SamplingParams().sampler(20).explain(logits(0, 20), 0, shown=0)
    assert [(s.name, s.remaining, s.removed, s.kept, s.dropped) for s in stages] == [
        ("logits", 20, 0, [], []),
        ("greedy", 1, 19, [], []),
    ]
    assert pick.id == int(logits(0, 20).argmax())
