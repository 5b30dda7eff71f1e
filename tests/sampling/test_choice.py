"""The sampler against its definition in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken.errors import NumericalError
from nextoken.sampling import SamplingParams
from tests.sampling import reference

SIZES = [1, 2, 15, 16, 17, 31, 33, 1000, 4095, 4096, 4097, 9001]


def logits(seed: int, n: int, scale: float = 3.0) -> reference.Row:
    return (np.random.default_rng(seed).standard_normal(n) * scale).astype(np.float32)


def sampler(n: int, **keywords: Any) -> Any:
    return SamplingParams(**{"seed": 1, **keywords}).sampler(n)


def choose(x: reference.Row, position: int = 0, **keywords: Any) -> int:
    return int(sampler(len(x), **keywords).choose(x, position).id)


def survivors(x: reference.Row, **keywords: Any) -> list[int]:
    """What is left before the draw."""
    _, stages = sampler(len(x), **keywords).explain(x, 0, shown=len(x))
    return sorted(i for i, _ in stages[-2].kept)


@pytest.mark.parametrize("n", SIZES)
def test_greedy_takes_the_largest_and_the_lowest_id_on_ties(n: int) -> None:
    x = logits(n, n)
    assert choose(x) == int(x.argmax())
    x = np.round(x)  # many ties
    assert choose(x) == int(x.argmax())
    assert choose(np.zeros(n, np.float32)) == 0


@pytest.mark.parametrize("temperature", [1e-30, 1e-9, 5e-324, 2e-5])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    for seed in range(20):
        x = logits(seed, 1000)
        assert choose(x, seed, temperature=temperature) == int(x.argmax())


@pytest.mark.parametrize("temperature", [1e30, 1e300])
def test_a_huge_temperature_is_uniform_over_what_is_not_masked(temperature: float) -> None:
    x = logits(0, 64)
    x[::2] = -np.inf
    drawn = {choose(x, position, temperature=temperature) for position in range(600)}
    assert drawn == set(range(1, 64, 2))


FILTERS = st.fixed_dictionaries(
    {"temperature": st.floats(0.05, 5)},
    optional={
        "top_k": st.integers(1, 300),
        "typical_p": st.floats(0, 0.99),
        "top_p": st.floats(0.01, 0.99),
        "min_p": st.floats(0.001, 1),
    },
)


@given(st.integers(0, 2**32), st.sampled_from(SIZES), st.floats(0.1, 10), FILTERS)
def test_the_filters_keep_what_the_reference_keeps(
    seed: int, n: int, scale: float, p: dict[str, Any]
) -> None:
    x = logits(seed, n, scale)
    if n > 2:
        x[seed % n] = -np.inf
    got, want = survivors(x, **p), reference.kept(x, p)
    if got != want:
        # top_p of a whole row weighs it in float32: 4096 / 16 terms a lane, each sum off by 2^-24 of itself at most.
        # A candidate within that of the border may fall either way.
        slack = (4096 / 16 + 4) * 2.0**-24
        less, more = (
            reference.kept(x, {**p, "top_p": p.get("top_p", 1.0) * f}) for f in (1 - slack, 1 + slack)
        )
        assert set(less) <= set(got) <= set(more)
    assert got


@given(st.integers(0, 2**32), st.sampled_from(SIZES[3:]), FILTERS)
def test_ties_at_the_border_go_to_the_lowest_ids(seed: int, n: int, p: dict[str, Any]) -> None:
    x = np.round(logits(seed, n))
    p = {"temperature": p["temperature"], "top_k": p.get("top_k", 7)}
    assert survivors(x, **p) == reference.kept(x, p)[: p["top_k"]]


@pytest.mark.parametrize("keywords", [{"top_k": 1}, {"top_p": 1e-300}, {"min_p": 1.0}])
def test_the_narrowest_filters_leave_the_top_token(keywords: dict[str, Any]) -> None:
    x = logits(5, 5000)
    assert survivors(x, temperature=1, **keywords) == [int(x.argmax())]


def test_the_draw_is_the_inverse_of_the_cumulative_distribution() -> None:
    x = logits(3, 300)
    p = {"temperature": 0.9, "top_k": 50}
    ids = reference.kept(x, p)
    cumulative = np.cumsum(np.exp((x[ids] - x.max()).astype(np.float64) / 0.9))
    for seed, sequence, position in [
        (1, 0, 0),
        (2**64 - 1, 3, 7),
        (2**40, 1, 2**33),
        *((9, 0, i) for i in range(200)),
    ]:
        u = reference.uniform(seed, sequence, position)
        want = ids[int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))]
        s = SamplingParams(seed=seed, **p).sampler(300, sequence=sequence)
        assert s.choose(x, position).id == want


def test_philox_gives_the_published_vectors() -> None:
    # kat_vectors of Random123: philox4x32 10, counter, key, expected.
    zero = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    full = 0xFFFFFFFF
    assert reference.philox4x32([0] * 4, [0] * 2) == zero
    assert reference.philox4x32([full] * 4, [full] * 2) == ones
    counter, key = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]
    assert reference.philox4x32(counter, key) == pi
    # The native one through the draw: equal weights make the id the leading bits of the random number.
    flat = np.zeros(4096, np.float32)
    for seed, position, words in [
        (0, 0, zero),
        (2**64 - 1, 2**63 - 1, None),
        (key[0] | key[1] << 32, 12345, None),
    ]:
        u = reference.uniform(seed, 0, position)
        if words is not None:
            assert u == ((words[0] << 32 | words[1]) >> 11) * 2.0**-53
        assert choose(flat, position, temperature=1, seed=seed) == int(u * 4096)


@pytest.mark.parametrize(
    "keywords", [{}, {"top_k": 40}, {"top_p": 0.95}, {"min_p": 0.01}, {"typical_p": 0.95}]
)
def test_draws_have_the_probabilities_of_the_distribution(keywords: dict[str, Any]) -> None:
    n, draws = 6000, 20_000
    x = logits(11, n)
    x[:30] += 8  # likely enough to be counted one by one
    p = {"temperature": 1.0, **keywords}
    s = SamplingParams(seed=42, **p).sampler(n)
    counts = np.zeros(n)
    for position in range(draws):
        counts[s.choose(x, position).id] += 1
    ids = reference.kept(x, p)
    expected = np.zeros(n)
    expected[ids] = np.exp(x[ids].astype(np.float64))
    expected *= draws / expected.sum()
    assert not counts[expected == 0].any()
    common = expected >= 20
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    observed, wanted = observed[wanted > 0], wanted[wanted > 0]
    chi_square = ((observed - wanted) ** 2 / wanted).sum()
    freedom = len(wanted) - 1
    # Mean `freedom`, variance 2 * freedom: five standard deviations. The seed is fixed, so this is decided once.
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


def test_a_draw_depends_on_seed_sequence_and_position_alone() -> None:
    x = logits(1, 2000)
    s = sampler(2000, temperature=1.5)
    forward = [s.choose(x, i).id for i in range(50)]
    backward = [s.choose(x, i).id for i in reversed(range(50))]
    assert forward == backward[::-1]
    assert forward != [choose(x, i, temperature=1.5, seed=2) for i in range(50)]
    other = SamplingParams(seed=1, temperature=1.5).sampler(2000, sequence=1)
    assert forward != [other.choose(x, i).id for i in range(50)]


@given(
    st.integers(0, 2**32),
    st.fixed_dictionaries(
        {},
        optional={
            "repetition_penalty": st.floats(0.2, 5),
            "presence_penalty": st.floats(-2, 2),
            "frequency_penalty": st.floats(-2, 2),
            "logit_bias": st.dictionaries(st.integers(0, 99), st.floats(-100, 100), max_size=9),
            "allowed_token_ids": st.lists(st.integers(0, 99), min_size=1),
        },
    ),
    st.lists(st.integers(0, 99), max_size=20),
    st.lists(st.integers(0, 99), max_size=20),
)
def test_bias_and_penalties_change_the_logits_as_the_reference_does(
    seed: int, p: dict[str, Any], prompt: list[int], answer: list[int]
) -> None:
    x = logits(seed, 100)
    s = SamplingParams(**p).sampler(100)
    s.observe_prompt(prompt)
    for token in answer:
        s.observe([token])
    y = reference.adjust(x, prompt, answer, p)
    pick, stages = s.explain(x, 0, shown=100)
    assert pick.id == int(y.argmax())
    if len(stages) > 1:
        left = dict(stages[-2].kept)
        want = np.exp(reference.log_softmax(y))
        assert sorted(left) == [i for i in range(100) if y[i] > -np.inf]
        for i, probability in left.items():
            assert probability == pytest.approx(want[i], rel=1e-12)


def test_observed_tokens_of_the_prompt_are_not_held_against_presence() -> None:
    x = np.array([3, 2, 1], np.float32)
    s = sampler(3, presence_penalty=2)
    s.observe_prompt([0])
    assert s.choose(x, 0).id == 0
    s.observe([0])
    assert s.choose(x, 0).id == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.nan])
@pytest.mark.parametrize("n", [1, 17, 5000])
def test_nan_and_infinity_raise(bad: float, n: int) -> None:
    for keywords in ({}, {"temperature": 1.0}, {"temperature": 1.0, "top_k": 3}):
        x = logits(0, n)
        x[n - 1] = bad
        s = sampler(n, **keywords)
        with pytest.raises(NumericalError, match=f"logit {n - 1} of {n}"):
            s.choose(x, 0)
        fine = logits(0, n)
        assert s.choose(fine, 0).id == choose(fine, 0, **keywords)  # and the sampler is as good as new


@pytest.mark.parametrize("temperature", [0, 1])
def test_nothing_left_raises(temperature: float) -> None:
    with pytest.raises(NumericalError, match="all 9 logits are -infinity"):
        choose(np.full(9, -np.inf, np.float32), temperature=temperature)
    x = logits(0, 9)
    x[4] = -np.inf
    with pytest.raises(NumericalError):
        choose(x, temperature=temperature, allowed_token_ids=[4])


def test_everything_biased_away_still_picks() -> None:
    x = logits(0, 50)
    assert choose(x, logit_bias=dict.fromkeys(range(50), -100)) == int(x.argmax())


def test_extreme_logits_and_settings_stay_numbers() -> None:
    top = np.finfo(np.float32).max
    x = np.array([-top, top, -np.inf, 0, 1e-45, top], np.float32)
    for keywords in (
        {},
        {"repetition_penalty": 1e-30},
        {"repetition_penalty": 1e30},
        {"logit_bias": {1: 100}},
    ):
        for more in ({}, {"top_k": 3}, {"typical_p": 0.5}, {"top_p": 0.5}, {"min_p": 0.1}):
            s = sampler(6, temperature=0.5, logprobs=6, **keywords, **more)
            s.observe([0, 1, 3])
            pick = s.choose(x, 0)
            assert pick.id != 2
            assert not np.isnan(pick.logprob)


def test_ids_without_text_are_never_chosen() -> None:
    x = logits(2, 100)
    x[90:] += 100
    for keywords in ({}, {"temperature": 1}, {"temperature": 1, "top_k": 5}, {"logit_bias": {95: 100}}):
        s = SamplingParams(seed=0, logprobs=5, **keywords).sampler(100, n_decodable=90)
        for position in range(20):
            pick = s.choose(x, position)
            assert pick.id < 90
            assert all(i < 90 for i, _, _ in pick.top)


def test_the_logits_are_checked_before_they_are_read() -> None:
    s = sampler(8)
    with pytest.raises(TypeError, match="float32"):
        s.choose(np.zeros(8), 0)
    with pytest.raises(ValueError, match="expected 8"):
        s.choose(np.zeros(7, np.float32), 0)
    with pytest.raises(ValueError, match="dimensions"):
        s.choose(np.zeros((1, 8), np.float32), 0)
    with pytest.raises(ValueError, match="contiguous"):
        s.choose(np.zeros(16, np.float32)[::2], 0)
    with pytest.raises(ValueError, match="vocabulary"):
        s.observe([8])
    with pytest.raises(ValueError, match="vocabulary"):
        s.observe_prompt([-1])
