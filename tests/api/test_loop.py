"""The loop: streams and completions agree, stop conditions, logprobs, batches, chat, cancellation."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, Cancelled, Completion, SamplingParams

IDS = [5, 17, 200, 3, 44, 9, 120, 33]
RANDOM: dict[str, Any] = {"temperature": 1.2, "top_p": 0.95, "seed": 11, "ignore_eos": True}


def force(llm: LLM, *ids: int) -> Any:
    """A logits processor that makes the answer to IDS begin with `ids`."""

    def processor(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        n = len(token_ids) - len(IDS)
        if n < len(ids):
            logits[:] = -np.inf
            logits[ids[n]] = 0
        return logits

    return processor


def spell(llm: LLM, text: str) -> list[int]:
    """One token for each byte of `text`: several for a character that is not ASCII."""
    tokenizer = llm.tokenizer
    by_bytes = {
        tokenizer.token_bytes(i): i for i in reversed(range(len(tokenizer))) if not tokenizer.is_special(i)
    }
    return [by_bytes[bytes([byte])] for byte in text.encode()]


@pytest.mark.parametrize("options", [{"ignore_eos": True}, RANDOM], ids=["greedy", "random"])
def test_stream_and_generate_agree_to_the_byte(llm: LLM, options: dict[str, Any]) -> None:
    out = llm.generate(IDS, max_tokens=40, logprobs=2, **options)
    stream = llm.stream(IDS, max_tokens=40, logprobs=2, **options)
    tokens = list(stream)
    assert tuple(t.id for t in tokens) == out.token_ids
    assert "".join(map(str, tokens)) == out.text == llm.tokenizer.decode(out.token_ids)
    assert b"".join(t.bytes for t in tokens) == llm.tokenizer.decode_bytes(out.token_ids)
    assert [t.index for t in tokens] == list(range(40))
    assert out.logprobs is not None
    assert [t.logprob for t in tokens] == [t.logprob for t in out.logprobs]
    assert stream.completion.usage == out.usage
    assert (out.finish_reason, out.stop_reason) == ("length", None)
    assert (out.usage.prompt_tokens, out.usage.completion_tokens, out.timings.passes) == (8, 40, 40)


def test_no_token_holds_half_a_character(llm: LLM) -> None:
    ids = spell(llm, "a\u00e9\u20ac\U0001f600z")
    tokens = list(llm.stream(IDS, max_tokens=len(ids), logits_processor=force(llm, *ids)))
    assert [t.text for t in tokens] == ["a", "", "\u00e9", "", "", "\u20ac", "", "", "", "\U0001f600", "z"]
    cut = llm.generate(IDS, max_tokens=len(ids) - 3, logits_processor=force(llm, *ids))
    assert cut.text == "a\u00e9\u20ac\ufffd"


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_prefix_cache_and_the_batch_change_nothing(llm: LLM, use_cache: bool) -> None:
    prompts = [IDS, IDS[:1], IDS[2:7]]
    alone = [llm.generate(p, max_tokens=10, **RANDOM) for p in prompts]
    together = llm.generate(prompts, max_tokens=10, use_cache=use_cache, **RANDOM)
    assert [o.token_ids for o in together] == [o.token_ids for o in alone]


def test_more_prompts_than_places_are_all_answered(llm: LLM) -> None:
    outs = llm.generate([[i] for i in range(70)], max_tokens=3, ignore_eos=True)
    assert [o.prompt_token_ids for o in outs] == [(i,) for i in range(70)]
    assert outs[69].token_ids == llm.generate([69], max_tokens=3, ignore_eos=True).token_ids


def test_n_answers_share_the_prompt_and_differ(llm: LLM) -> None:
    out = llm.generate(IDS, n=4, max_tokens=8, **RANDOM)
    assert len(out.choices) == 4
    assert len({choice.token_ids for choice in out.choices}) == 4
    assert out.token_ids == llm.generate(IDS, max_tokens=8, **RANDOM).token_ids
    described = out.to_openai()
    assert [c["index"] for c in described["choices"]] == [0, 1, 2, 3]
    assert described["usage"]["completion_tokens"] == 32
    with pytest.raises(ValueError, match="n=2"):
        llm.stream(IDS, n=2)


def test_eos_ends_the_answer_and_is_no_part_of_it(llm: LLM) -> None:
    (eos,) = list(llm.tokenizer.eos_ids)[:1]
    a, b = spell(llm, "ab")
    out = llm.generate(IDS, max_tokens=9, logits_processor=force(llm, a, b, eos))
    assert (out.text, out.token_ids, out.finish_reason, out.stop_reason) == ("ab", (a, b), "stop", None)
    assert (out.usage.completion_tokens, out.timings.passes) == (3, 3)
    kept = llm.generate(IDS, max_tokens=9, include_stop=True, logits_processor=force(llm, a, b, eos))
    assert kept.token_ids == (a, b, eos)
    on = llm.generate(IDS, max_tokens=9, ignore_eos=True, logits_processor=force(llm, a, b, eos))
    assert len(on.token_ids) == 9
    assert llm.predict_next_token(IDS, logits_processor=force(llm, eos)).id == eos


def test_a_stop_id_is_named(llm: LLM) -> None:
    a, b = spell(llm, "ab")
    out = llm.generate(IDS, max_tokens=9, stop_token_ids=[b], logits_processor=force(llm, a, b))
    assert (out.text, out.finish_reason, out.stop_reason) == ("a", "stop", b)
    with pytest.raises(ValueError, match="vocabulary"):
        llm.generate(IDS, stop_token_ids=[llm.vocab_size])


@pytest.mark.parametrize(
    ("text", "stop", "include", "expected"),
    [
        ("one\n\ntwo", ["\n\n"], False, "one"),
        ("one\n\ntwo", ["\n\n"], True, "one\n\n"),
        ("xabcy", ["bc", "abc"], False, "x"),
        ("a\u20acb", ["\u20ac"], False, "a"),
        ("a\u20ac\u20acb", ["\u20acb"], False, "a\u20ac"),
        ("STOP it", ["STOP"], False, ""),
        ("abab STO", ["STOP"], False, "abab STO"),
    ],
)
def test_a_stop_string_is_cut_off_and_never_shown(
    llm: LLM, text: str, stop: list[str], include: bool, expected: str
) -> None:
    ids = spell(llm, text)
    options: dict[str, Any] = {"stop": stop, "include_stop": include, "max_tokens": len(ids)}
    tokens = list(llm.stream(IDS, logits_processor=force(llm, *ids), **options))
    out = llm.generate(IDS, logits_processor=force(llm, *ids), **options)
    assert "".join(map(str, tokens)) == out.text == expected
    assert b"".join(t.bytes for t in tokens) == expected.encode()
    assert tuple(t.id for t in tokens) == out.token_ids
    found = any(s in text for s in stop)
    assert out.finish_reason == ("stop" if found else "length")
    assert (out.stop_reason in stop) == found


def test_logprobs_are_those_of_the_model(llm: LLM) -> None:
    out = llm.generate(IDS, max_tokens=3, logprobs=5, prompt_logprobs=2, ignore_eos=True)
    assert out.logprobs is not None
    assert out.prompt_logprobs is not None
    logits = llm([[*IDS, *out.token_ids]])[0].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for i, token in enumerate(out.logprobs):
        row = logprobs[len(IDS) - 1 + i]
        assert token.logprob == pytest.approx(row[token.id], abs=1e-5)
        assert token.top is not None
        assert [c.id for c in token.top] == np.argsort(-row, kind="stable")[:5].tolist()
    assert out.prompt_logprobs[0] is None
    for i, scored in enumerate(out.prompt_logprobs[1:], 1):
        assert scored is not None
        assert scored.id == IDS[i]
        assert scored.logprob == pytest.approx(logprobs[i - 1, IDS[i]], abs=1e-5)
    assert llm.score(IDS) == pytest.approx(
        np.array([t.logprob for t in out.prompt_logprobs[1:] if t is not None]), abs=0
    )
    chosen_alone = llm.generate(IDS, max_tokens=1, logprobs=0).logprobs
    assert chosen_alone is not None
    assert chosen_alone[0].top == ()
    assert llm.generate(IDS, max_tokens=1).logprobs is None


def test_the_seed_is_reported_and_repeats_the_answer(llm: LLM) -> None:
    out = llm.generate(IDS, temperature=2.0, max_tokens=12, ignore_eos=True)
    again = llm.generate(IDS, temperature=2.0, max_tokens=12, ignore_eos=True, seed=out.seed)
    assert again.token_ids == out.token_ids
    assert llm.generate(IDS, temperature=2.0, max_tokens=12, ignore_eos=True).seed != out.seed


def test_without_a_seed_each_prompt_draws_its_own(llm: LLM) -> None:
    first, second = llm.generate([IDS, IDS], temperature=2.0, max_tokens=12, ignore_eos=True)
    assert first.seed != second.seed
    for out in (first, second):
        again = llm.generate(IDS, temperature=2.0, max_tokens=12, ignore_eos=True, seed=out.seed)
        assert again.token_ids == out.token_ids
    one, other = llm.generate([IDS, IDS], temperature=2.0, max_tokens=12, ignore_eos=True, seed=4)
    assert one.token_ids == other.token_ids


def test_keywords_or_params_never_both(llm: LLM) -> None:
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    assert len(llm.generate(IDS, params).token_ids) == 2
    with pytest.raises(TypeError):
        llm.generate(IDS, params, max_tokens=3)
    with pytest.raises(TypeError, match="temprature"):
        llm.generate(IDS, temprature=1)
    with pytest.raises(TypeError):
        llm.generate(IDS, cancel=5)


def test_chat_on_a_session_computes_only_what_is_new(llm: LLM) -> None:
    messages = [{"role": "user", "content": "hi there"}]
    with llm.session() as s:
        first = llm.chat(messages, session=s, max_tokens=5)
        assert first.usage.cached_tokens == 0
        messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "more"}]
        second = llm.chat(messages, session=s, max_tokens=5)
        assert second.usage.cached_tokens >= first.usage.prompt_tokens - 8
        assert second.token_ids == llm.chat(messages, max_tokens=5).token_ids
        again = llm.chat(messages, session=s, max_tokens=5)
        assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
        assert again.token_ids == second.token_ids
    assert second.to_openai()["choices"][0]["message"]["content"] == second.text
    assert "".join(map(str, llm.chat(messages, stream=True, max_tokens=5))) == second.text


def test_chat_refuses_what_makes_no_sense(llm: LLM, own: LLM) -> None:
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(ValueError, match="another LLM"):
        llm.chat(messages, session=own.session())
    with pytest.raises(ValueError, match="n=2"):
        llm.chat(messages, session=llm.session(), n=2)
    with pytest.raises(ValueError, match="use_cache"):
        llm.chat(messages, session=llm.session(), use_cache=False)


def test_cancel_ends_with_what_there_is(llm: LLM) -> None:
    cancel = threading.Event()
    tokens, stream = [], llm.stream(IDS, ignore_eos=True, cancel=cancel)
    for token in stream:
        tokens.append(token)
        if len(tokens) == 3:
            cancel.set()
    assert stream.completion.finish_reason == "cancelled"
    assert stream.completion.text == "".join(map(str, tokens))
    out: Completion = llm.generate(IDS, cancel=cancel)
    assert (out.text, out.finish_reason, out.timings.passes) == ("", "cancelled", 0)
    with llm.session() as s, pytest.raises(Cancelled):
        s.append(IDS, cancel=cancel)
    with pytest.raises(Cancelled):
        llm.score(IDS, cancel=cancel)


def test_progress_goes_from_nothing_to_everything(llm: LLM) -> None:
    seen: list[tuple[int, int]] = []
    llm.generate([IDS, IDS[:2]], max_tokens=6, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (22, 22)
    with llm.session() as s:
        seen.clear()
        s.append(IDS, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (8, 8)
