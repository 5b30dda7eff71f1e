"""SamplingParams: one validator, and a test in which each parameter changes the result."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from nextoken.sampling import SamplingParams
from tests.sampling.test_choice import logits

# Rows F3 to F13 of the table of bad input.
VALUE_ERRORS: list[tuple[str, Any]] = [
    *[("temperature", v) for v in (-1, -1e-300, math.nan, math.inf, 10**400)],
    *[("top_k", v) for v in (-2, -(2**63))],
    *[("top_p", v) for v in (0, 0.0, 1.0001, -0.1, math.nan)],
    *[(name, v) for name in ("min_p", "typical_p") for v in (-0.1, 1.1, math.nan)],
    *[("repetition_penalty", v) for v in (0, -1, math.inf, math.nan)],
    *[(name, v) for name in ("presence_penalty", "frequency_penalty") for v in (-2.1, 2.1, math.nan)],
    *[("max_tokens", v) for v in (0, -1)],
    *[("n", v) for v in (0, -1, 129, 10**6, 10**18)],
    *[("logprobs", v) for v in (-1, 262_144)],
    *[("prompt_logprobs", v) for v in (-1, 262_144)],
    *[("stop", v) for v in ("", [""], ["a", ""], "\ud800")],
    *[("stop_token_ids", v) for v in ([-1], [2**31])],
    *[("allowed_token_ids", v) for v in ([], [-1], [2**40])],
    *[("logit_bias", v) for v in ({-1: 1}, {2**40: 1}, {1: math.nan}, {1: math.inf})],
]
TYPE_ERRORS: list[tuple[str, Any]] = [
    *[
        (name, v)
        for name in ("temperature", "top_p", "min_p", "presence_penalty")
        for v in ("0.7", True, [1], 1j)
    ],
    *[
        (name, v)
        for name in ("top_k", "max_tokens", "n", "seed", "logprobs")
        for v in (1.5, 1.0, "5", True, [1])
    ],
    *[(name, v) for name in ("include_stop", "ignore_eos", "use_cache", "profile") for v in (1, "yes", 0.0)],
    *[("stop", v) for v in (1, b"x", [b"x"], ["a", 1], {"a": 1})],
    *[(name, v) for name in ("stop_token_ids", "allowed_token_ids") for v in (1, "12", ["1"], [1.0], [True])],
    *[("logit_bias", v) for v in ([1], {"abc": 1}, {1.0: 1}, {True: 1}, {1: "x"}, {1: True})],
    ("logits_processor", 3),
]


@pytest.mark.parametrize(("name", "value"), VALUE_ERRORS)
def test_a_value_out_of_range_is_a_value_error_that_names_the_field(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        SamplingParams.build(**{name: value})


@pytest.mark.parametrize(("name", "value"), TYPE_ERRORS)
def test_a_value_of_the_wrong_kind_is_a_type_error_that_names_the_field(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        SamplingParams.build(**{name: value})


def test_defaults_and_none() -> None:
    plain = SamplingParams()
    for name in plain.__dataclass_fields__:
        assert SamplingParams(**{name: None}) == plain
    assert (plain.temperature, plain.top_k, plain.top_p, plain.n, plain.use_cache) == (0.0, 0, 1.0, 1, True)
    assert plain.max_tokens is plain.seed is plain.logprobs is None


def test_values_are_kept_as_plain_python() -> None:
    p = SamplingParams(
        temperature=np.float32(0.5),
        top_k=np.int64(7),
        stop="x",
        stop_token_ids=np.array([1, 2]),
        logit_bias={np.int32(3): np.float64(1e30), 4: -(10**9)},
        use_cache=np.bool_(False),
    )
    assert (p.temperature, p.top_k, p.stop, p.stop_token_ids, p.use_cache) == (0.5, 7, ("x",), (1, 2), False)
    assert p.logit_bias == {3: 100.0, 4: -100.0}
    assert type(p.top_k) is int
    assert type(p.use_cache) is bool
    assert pickle.loads(pickle.dumps(p)) == copy.deepcopy(p) == p


def test_large_but_fine_values() -> None:
    SamplingParams(max_tokens=2**63, top_k=2**63, stop=["ab" * 500_000, *map(str, range(10_000))])
    assert SamplingParams(logit_bias=dict.fromkeys(range(1_000_000), 1)).logit_bias
    x = logits(0, 10)
    for top_k in (-1, 0, 11, 2**63):
        assert SamplingParams(top_k=top_k, temperature=1, seed=0).sampler(10).choose(x, 0).id < 10


def test_any_integer_is_a_seed() -> None:
    for seed, kept in [(-1, 2**64 - 1), (2**64, 0), (-(2**63), 2**63), (10**5000, 10**5000 % 2**64)]:
        assert SamplingParams.build(seed=seed).seed == kept


def test_a_seed_is_drawn_where_none_is_given() -> None:
    params = SamplingParams(temperature=1)
    first, second = params.seeded(), params.seeded()
    assert first.seed is not None
    assert first.seed != second.seed
    assert params.seed is None
    given = SamplingParams(seed=3)
    assert SamplingParams.build(given) is given.seeded() is given


def test_keywords_or_an_object_never_both() -> None:
    with pytest.raises(TypeError, match="give one of them"):
        SamplingParams.build(SamplingParams(), top_k=1)
    with pytest.raises(TypeError, match="expected SamplingParams, got dict"):
        SamplingParams.build({"top_k": 1})  # type: ignore[arg-type]


def test_an_unknown_keyword_is_a_type_error_with_a_suggestion() -> None:
    for make in (SamplingParams, SamplingParams.build):
        with pytest.raises(TypeError, match="'temprature': did you mean 'temperature'?"):
            make(temprature=1)
        with pytest.raises(TypeError, match="unknown sampling parameter 'zzz': there are"):
            make(zzz=1)
        for absent in ("json_schema", "regex", "choice", "grammar"):
            with pytest.raises(TypeError, match=absent):
                make(**{absent: "x"})


def test_max_new_tokens_is_another_name_of_max_tokens() -> None:
    assert SamplingParams.build(max_new_tokens=3).max_tokens == 3
    with pytest.raises(TypeError, match="another name"):
        SamplingParams.build(max_new_tokens=3, max_tokens=3)
    with pytest.raises(ValueError, match="max_tokens"):
        SamplingParams.build(max_new_tokens=0)


@pytest.mark.parametrize("name", ["stop_token_ids", "allowed_token_ids", "logit_bias"])
def test_ids_outside_the_vocabulary_are_refused_at_use(name: str) -> None:
    value: Any = {10: 1.0} if name == "logit_bias" else [10]
    params = SamplingParams(**{name: value})
    params.check_vocab(11)
    with pytest.raises(ValueError, match=f"{name}: token id 10 is not in the vocabulary of 10"):
        params.sampler(10)


SAMPLED = {"temperature": 1.0, "seed": 1}


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"temperature": 2.0}),
        ({}, {"repetition_penalty": 3.0}),
        ({}, {"presence_penalty": 2.0}),
        ({}, {"frequency_penalty": 2.0}),
        ({}, {"logit_bias": {5: 100}}),
        ({}, {"allowed_token_ids": [6, 7]}),
        (SAMPLED, {"seed": 2}),
        (SAMPLED, {"temperature": 0.3}),
        (SAMPLED, {"top_k": 3}),
        (SAMPLED, {"top_p": 0.3}),
        (SAMPLED, {"min_p": 0.7}),
        (SAMPLED, {"typical_p": 0.1}),
    ],
)
def test_each_parameter_changes_the_tokens(base: dict[str, Any], change: dict[str, Any]) -> None:
    def tokens(**keywords: Any) -> list[int]:
        s = SamplingParams(**{"seed": 1, **keywords}).sampler(50)
        s.observe_prompt([1])
        ids = []
        for position in range(30):
            pick = s.choose(logits(position // 10, 50, 1.0), position)
            s.observe([pick.id])
            ids.append(pick.id)
        return ids

    assert tokens(**base) == tokens(**base)
    assert tokens(**base) != tokens(**{**base, **change})
