"""Numbers that go wrong, at load and on the way: rows B15 to B17, and I15 as far as it is the library's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, NumericalError
from tests.gguf_files import tiny_llama

HIDDEN, BAD = 64, 7  # the token whose embedding is not finite
GOOD = [[5, 17, 200], [3, 44, 9, 120, 33], [1], [90, 91, 92, 93]]
SPOILT = [GOOD[0], [5, BAD, 9], GOOD[1], [BAD], GOOD[2], GOOD[3]]
GREEDY: dict[str, Any] = {"max_tokens": 6, "ignore_eos": True, "logprobs": 2}


def embedding(n_tokens: int, bad: float) -> np.ndarray:
    table = np.random.default_rng(3).normal(0, 0.3, (n_tokens, HIDDEN)).astype("<f4")
    table[BAD, 5] = bad
    return table


def with_embedding(path: Path, bad: float, *, vocab: int) -> Path:
    table = embedding(vocab, bad)
    return tiny_llama(
        path, "Q8_0", tied=False, tensors={"token_embd.weight": (table, "F32", (HIDDEN, vocab))}
    )


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> int:
    with LLM(tiny_llama(tmp_path_factory.mktemp("numbers") / "m.gguf", "Q8_0")) as llm:
        return llm.vocab_size


@pytest.fixture(scope="module", params=[np.nan, np.inf, 1e25], ids=["nan", "inf", "overflow"])
def llm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, vocab: int
) -> Iterator[LLM]:
    """Sound but for one token. From 1e19 on it is finite, and the sum of squares in the first norm is not."""
    path = with_embedding(tmp_path_factory.mktemp("numbers") / "m.gguf", request.param, vocab=vocab)
    with LLM(path, check=False) as llm:
        yield llm


def bits(completion: Any) -> Any:
    return completion.token_ids, completion.text, [(t.logprob, t.top) for t in completion.logprobs]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_are_checked_unless_the_caller_says_no(tmp_path: Path, vocab: int, bad: float) -> None:
    path = with_embedding(tmp_path / "m.gguf", bad, vocab=vocab)
    with pytest.raises(NumericalError, match="token_embd"):
        LLM(path)
    with pytest.raises(TypeError, match="check"):
        LLM(path, check=0)  # type: ignore[arg-type]
    with LLM(path, check=False) as llm:
        assert np.isfinite(llm([GOOD[0]])).all()
        with pytest.raises(NumericalError):
            llm([[BAD]])


def test_norms_that_are_not_finite_load_without_the_check_and_fail_in_a_pass(tmp_path: Path) -> None:
    norm = np.ones(HIDDEN, "<f4")
    norm[3] = np.nan
    path = tiny_llama(tmp_path / "m.gguf", tensors={"blk.1.ffn_norm.weight": (norm, "F32", (HIDDEN,))})
    with LLM(path, check=False) as llm, pytest.raises(NumericalError):
        llm([GOOD[0]])


@pytest.mark.parametrize("use", ["call", "predict", "stream", "score", "last", "all", "none"])
def test_a_norm_that_overflows_is_an_error_and_not_zeros(llm: LLM, use: str) -> None:
    with llm.session() as s:
        uses: dict[str, Callable[[], Any]] = {
            "call": lambda: llm([[5, BAD]]),
            "predict": lambda: s.predict([5, BAD]),
            "stream": lambda: list(llm.stream([5, BAD])),
            "score": lambda: llm.score([5, BAD, 9]),
        }
        with pytest.raises(NumericalError):
            uses.get(use, lambda: s.append([5, BAD], use))()  # type: ignore[arg-type]
        assert len(s) == 0


def test_one_prompt_fails_and_the_others_have_the_bits_they_have_alone(llm: LLM) -> None:
    alone = [bits(llm.generate(prompt, **GREEDY)) for prompt in GOOD]
    with pytest.raises(NumericalError) as caught:
        llm.generate(SPOILT, **GREEDY)
    answers = caught.value.completions
    assert [answer is None for answer in answers] == [BAD in prompt for prompt in SPOILT]
    assert [bits(answer) for answer in answers if answer is not None] == alone
    texts = caught.value.partial_text  # type: ignore[attr-defined]
    assert texts == [answer.text if answer is not None else "" for answer in answers]
    assert [bits(answer) for answer in llm.generate(GOOD, **GREEDY)] == alone


@pytest.mark.parametrize("options", [{"use_cache": False}, {"prompt_logprobs": 0}, {"n": 2}])
def test_one_prompt_fails_alone_however_it_is_read(llm: LLM, options: dict[str, Any]) -> None:
    expected = [out.token_ids for out in llm.generate(GOOD, max_tokens=3, **options)]
    with pytest.raises(NumericalError) as caught:
        llm.generate(SPOILT, max_tokens=3, **options)
    assert [out.token_ids for out in caught.value.completions if out is not None] == expected


def test_a_sequence_that_fails_on_the_way_keeps_what_it_had(llm: LLM) -> None:
    """A processor leads the first prompt into the bad token, or spoils its logits, at the third step."""
    plain = [out.token_ids for out in llm.generate(GOOD, max_tokens=6, ignore_eos=True)]

    def into_the_bad_token(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        if token_ids[:3] == GOOD[0] and len(token_ids) == 5:
            logits[BAD] = 1e30
        return logits

    def spoilt(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        return logits * np.float32(np.nan) if token_ids[:3] == GOOD[0] and len(token_ids) == 5 else logits

    for processor, kept in ((into_the_bad_token, (*plain[0][:2], BAD)), (spoilt, plain[0][:2])):
        with pytest.raises(NumericalError) as caught:
            llm.generate(GOOD, max_tokens=6, ignore_eos=True, logits_processor=processor)
        first, *others = caught.value.completions
        assert first is None
        assert [out.token_ids for out in others if out is not None] == plain[1:]
        assert caught.value.partial_tokens[0] == kept  # type: ignore[attr-defined]


def test_a_failure_is_told_after_a_cancel_too(llm: LLM) -> None:
    cancel = threading.Event()

    def processor(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        if len(token_ids) > 9:
            cancel.set()
        return logits

    with pytest.raises(NumericalError) as caught:
        llm.generate(SPOILT, max_tokens=50, ignore_eos=True, logits_processor=processor, cancel=cancel)
    reasons = [None if out is None else out.finish_reason for out in caught.value.completions]
    assert reasons == [None if BAD in prompt else "cancelled" for prompt in SPOILT]


def test_asyncio_is_told_as_well(llm: LLM) -> None:
    async def read() -> None:
        async for _ in llm.astream([5, BAD]):
            pass

    with pytest.raises(NumericalError):
        asyncio.run(read())


def test_a_session_survives_a_chat_turn_that_fails(llm: LLM) -> None:
    with llm.session() as s:
        expected = s.append(GOOD[1])
        s.rewind(2)
        with pytest.raises(NumericalError):
            s.append([BAD])
        assert s.token_ids == GOOD[1][:3]
        assert np.array_equal(s.append(GOOD[1][3:]), expected)  # type: ignore[arg-type]
