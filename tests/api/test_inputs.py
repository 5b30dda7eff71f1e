"""Prompts and ids as callers hand them over: rows E1 to E3, E8 and E9 of the table of bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, ContextLengthError
from nextoken.inputs import check_ids, common_prefix, split_prompts
from tests.gguf_files import tiny_llama

V = 310


@pytest.mark.parametrize(
    "ids", [[0, V - 1], (3, 4), np.array([1, 2]), np.array([1, 2], np.uint64), [np.int64(5)]]
)
def test_ints_of_every_kind_are_ids(ids: Any) -> None:
    checked = check_ids(ids, V)
    assert checked.dtype == np.int32
    assert checked.tolist() == [int(i) for i in ids]


@pytest.mark.parametrize("bad", [-1, V, 2**31, 2**63, -(2**70)])
def test_an_id_outside_the_vocabulary_is_a_value_error_that_names_its_place(bad: int) -> None:
    with pytest.raises(ValueError, match=r"ids\[1\]"):
        check_ids([0, bad], V)


def test_arrays_are_checked_for_their_range_too() -> None:
    with pytest.raises(ValueError, match=str(2**63)):
        check_ids(np.array([0, 2**63], np.uint64), V)
    with pytest.raises(ValueError, match="-1"):
        check_ids(np.array([-1]), V)


@pytest.mark.parametrize(
    "bad", [[True], [1.0], ["1"], [None], [np.bool_(True)], [np.float32(1)], "12", b"12", 5, None, {1, 2}]
)
def test_what_is_no_int_is_a_type_error(bad: Any) -> None:
    with pytest.raises(TypeError):
        check_ids(bad, V)


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, object])
def test_arrays_of_other_things_are_type_errors(dtype: Any) -> None:
    with pytest.raises(TypeError, match="integers"):
        check_ids(np.zeros(3, dtype), V)


class Endless(list):
    """Ten million ids, none of which may be read."""

    def __len__(self) -> int:
        return 10_000_000

    def __iter__(self) -> Any:
        raise AssertionError("read")

    __getitem__ = __iter__


def test_too_many_ids_are_refused_unread() -> None:
    with pytest.raises(ContextLengthError, match="10000000") as error:
        check_ids(Endless(), V, n_ctx=256)
    assert (error.value.n_prompt, error.value.n_ctx) == (10_000_000, 256)


@pytest.mark.parametrize(
    ("prompt", "n", "single"),
    [
        ("", 1, True),
        ("text", 1, True),
        ([1, 2], 1, True),
        (np.array([1, 2]), 1, True),
        (["a", "b"], 2, False),
        ([[1], [2, 3]], 2, False),
        (np.ones((3, 2), int), 3, False),
        ([np.array([1])], 1, False),
    ],
)
def test_one_prompt_and_many(prompt: Any, n: int, single: bool) -> None:
    prompts, one = split_prompts(prompt)
    assert (len(prompts), one) == (n, single)


@pytest.mark.parametrize("bad", [b"bytes", [b"bytes"], 5, None, ["a", [1]], [[1], "a"], {"a": 1}])
def test_what_is_no_prompt_is_a_type_error(bad: Any) -> None:
    with pytest.raises(TypeError):
        split_prompts(bad)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_arrays_without_ids_are_empty_prompts(llm: LLM, shape: tuple[int, ...]) -> None:
    for call in (llm, llm.generate):
        with pytest.raises((ValueError, TypeError), match="empty prompt|rows of token ids"):
            call(np.zeros(shape, int))


def test_numbers_too_long_to_print_are_not_printed() -> None:
    for bad in (10**5000, -(10**5000), 2**1000):
        with pytest.raises(ValueError, match="not in the vocabulary") as error:
            check_ids([bad], V)
        assert len(str(error.value)) < 200


def test_common_prefix() -> None:
    a = np.array([1, 2, 3], np.int32)
    assert common_prefix(a, a) == common_prefix(a, a[:3]) == 3
    assert common_prefix(a, np.array([1, 2, 4, 5], np.int32)) == 2
    assert common_prefix(a, a[:0]) == 0


@pytest.mark.parametrize("call", ["generate", "stream", "predict_next_token", "score"])
@pytest.mark.parametrize("bad", [[True], [1.5], [-1], [V], [], b"x", None])
def test_every_entry_refuses_bad_prompts(llm: LLM, call: str, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        getattr(llm, call)(bad)


def test_an_empty_prompt_is_bos_alone_or_refused(llm: LLM, tmp_path: Path) -> None:
    if llm.tokenizer.encode(""):
        assert llm.generate("", max_tokens=1).usage.prompt_tokens == 1
    else:
        with pytest.raises(ValueError, match="empty prompt"):
            llm.generate("")
    path = tiny_llama(tmp_path / "bos.gguf", metadata={"tokenizer.ggml.add_bos_token": True})
    with LLM(path) as other:
        out = other.generate("", max_tokens=1)
        assert out.prompt_token_ids == (other.tokenizer.bos_id,)


def test_a_lone_surrogate_is_a_value_error(llm: LLM) -> None:
    with pytest.raises(ValueError, match="2"):
        llm.generate("ab\ud800c")


def test_a_prompt_as_long_as_the_context_has_no_room_for_a_token(llm: LLM) -> None:
    full = [1] * llm.n_ctx
    for prompt in (full, [*full, 1]):
        with pytest.raises(ContextLengthError, match=str(llm.n_ctx)):
            llm.generate(prompt)
        with pytest.raises(ContextLengthError):
            llm.predict_next_token(prompt)
    out = llm.generate(full[1:], ignore_eos=True, max_tokens=2**63)
    assert (len(out.token_ids), out.finish_reason) == (1, "length")
    assert llm.score(full).shape == (llm.n_ctx - 1,)
    assert np.asarray(llm([full])).shape == (1, llm.n_ctx, llm.vocab_size)


@pytest.mark.parametrize("bad", [[1, 2], "text", ["text"], np.ones(3, int), 5])
def test_calling_the_model_takes_rows_only(llm: LLM, bad: Any) -> None:
    with pytest.raises(TypeError):
        llm(bad)


def test_calling_the_model_on_an_array_or_ragged_rows(llm: LLM) -> None:
    rows = np.arange(12).reshape(3, 4)
    logits = llm(rows)
    assert isinstance(logits, np.ndarray)
    assert (logits.shape, logits.dtype) == ((3, 4, llm.vocab_size), np.float32)
    ragged = llm([[0, 1, 2, 3], [4, 5]])
    assert isinstance(ragged, list)
    assert [row.shape for row in ragged] == [(4, llm.vocab_size), (2, llm.vocab_size)]
    assert (ragged[1].view(np.uint32) == logits[1, :2].view(np.uint32)).all()
