"""Log-probabilities: those of the model, whatever the sampler makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from nextoken import _native
from nextoken.errors import NumericalError
from nextoken.sampling import SamplingParams
from tests.sampling import reference
from tests.sampling.test_choice import SIZES, logits

# Sums of 4096 / 16 float32 exponentials a lane, relative error 2^-24 a step and a few units for exp itself; then the
# result is rounded to float32 (values up to 64: half a unit is 2^-19).
TOLERANCE = (4096 / 16 + 8) * 2.0**-24 + 2.0**-19


@pytest.mark.parametrize("n", SIZES)
def test_logprobs_are_the_log_softmax_of_the_raw_logits(n: int) -> None:
    x = logits(n, n)
    want = reference.log_softmax(x)
    params = SamplingParams(temperature=2, top_k=3, logit_bias={0: 5}, logprobs=5, seed=3)
    pick = params.sampler(n).choose(x, 0)
    assert abs(pick.logprob - want[pick.id]) <= TOLERANCE
    order = sorted(range(n), key=lambda i: (-x[i], i))[:5]
    assert [i for i, _, _ in pick.top] == order
    for i, logit, logprob in pick.top:
        assert logit == x[i]
        assert abs(logprob - want[i]) <= TOLERANCE


def test_logprobs_none_zero_and_some() -> None:
    x = logits(0, 50)
    none = SamplingParams().sampler(50).choose(x, 0)
    zero = SamplingParams(logprobs=0).sampler(50).choose(x, 0)
    assert none.logprob is None
    assert none.top == zero.top == []
    assert zero.logprob == pytest.approx(reference.log_softmax(x).max(), abs=TOLERANCE)
    many = SamplingParams(logprobs=60).sampler(50).choose(x, 0)  # more than there are
    assert [i for i, _, _ in many.top] == sorted(range(50), key=lambda i: (-x[i], i))


def test_raw_logits_are_reported_where_a_processor_changed_them() -> None:
    x = logits(0, 50)
    changed = x.copy()
    changed[7] = 50
    pick = SamplingParams(logprobs=1).sampler(50).choose(changed, 0, raw=x)
    assert pick.id == 7
    assert pick.logprob == pytest.approx(reference.log_softmax(x)[7], abs=TOLERANCE)
    assert pick.top[0][0] == int(x.argmax())


@pytest.mark.parametrize("n", SIZES)
def test_rows_at_once_equal_rows_one_by_one(n: int) -> None:
    x = np.stack([logits(seed, n) for seed in range(4)])
    targets = np.array([0, n - 1, n // 2, n // 3], np.int32)
    chosen, ids, logprobs = _native.log_softmax_top(x, targets, n=3)
    for t in range(4):
        want = reference.log_softmax(x[t])
        assert abs(chosen[t] - want[targets[t]]) <= TOLERANCE
        pick = SamplingParams(logprobs=3).sampler(n).choose(x[t], 0)
        here = zip(ids[t].tolist(), logprobs[t].tolist(), strict=True)
        assert [(i, p) for i, p in here if i >= 0] == [(i, p) for i, _, p in pick.top]


def test_rows_with_few_candidates_are_filled_up() -> None:
    x = np.full((1, 5), -np.inf, np.float32)
    x[0, 3] = 1
    chosen, ids, logprobs = _native.log_softmax_top(x, np.array([3], np.int32), n=2)
    assert chosen.tolist() == [0]
    assert ids.tolist() == [[3, -1]]
    assert logprobs.tolist() == [[0, -np.inf]]
    with pytest.raises(NumericalError):
        _native.log_softmax_top(np.full((1, 5), -np.inf, np.float32))
    with pytest.raises(ValueError, match="targets"):
        _native.log_softmax_top(x, np.array([5], np.int32))
    with pytest.raises(ValueError, match="n:"):
        _native.log_softmax_top(x, n=-1)
    with pytest.raises(ValueError, match="n_decodable"):
        _native.log_softmax_top(x, n_decodable=6)
