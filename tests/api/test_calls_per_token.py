"""What Python does for a token: after a pass its code and data come from memory, so each call counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from nextoken import LLM, SamplingParams

SHORT, LONG = 8, 40


def streamed(llm: LLM, n: int) -> None:
    for _ in llm.stream([1, 2, 3], max_tokens=n, ignore_eos=True):
        pass


def predicted(llm: LLM, n: int) -> None:
    params = SamplingParams(temperature=0.5, seed=1)
    with llm.session() as session:
        token = session.predict([1, 2, 3], params)
        for _ in range(n - 1):
            token = session.predict([token.id], params)


def count(run: Callable[[], None]) -> int:
    """Calls of Python and of C functions while `run` runs."""
    calls = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(("what", "most"), [(streamed, 65), (predicted, 85)])
def test_a_token_takes_few_calls(llm: LLM, what: Callable[[LLM, int], None], most: int) -> None:
    what(llm, SHORT)
    more = count(lambda: what(llm, LONG)) - count(lambda: what(llm, SHORT))
    assert more / (LONG - SHORT) <= most
