"""Profiles: the work they count is the model's, the time they tell adds up, and the answer stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nextoken import LLM, OpTiming, _native, profiling
from tests.gguf_files import tiny_llama

PROMPT = [5, 9, 3, 7, 1]


@pytest.fixture(scope="module", params=[1, 2])
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    with LLM(
        tiny_llama(tmp_path_factory.mktemp("profile") / "tiny.gguf", "Q8_0"), n_threads=request.param
    ) as llm:
        yield llm


def by_name(ops: tuple[OpTiming, ...]) -> dict[str, OpTiming]:
    return {op.name: op for op in ops}


def test_timings_hold_ops_only_when_asked(llm: LLM) -> None:
    plain = llm.generate(PROMPT, max_tokens=4, ignore_eos=True)
    profiled = llm.generate(PROMPT, max_tokens=4, ignore_eos=True, profile=True)
    assert (plain.timings.prefill_ops, plain.timings.decode_ops) == ((), ())
    assert plain.token_ids == profiled.token_ids
    assert profiled.timings.prefill_ops
    assert profiled.timings.decode_ops


def test_the_work_counted_is_that_of_the_model(llm: LLM) -> None:
    spec = llm._engine.model.spec
    d, kv = spec.hidden_size, spec.n_kv_heads * spec.head_dim
    timings = llm.generate(PROMPT, max_tokens=4, ignore_eos=True, profile=True).timings
    prefill, decode = by_name(timings.prefill_ops), by_name(timings.decode_ops)
    for ops, passes, rows in ((prefill, 1, len(PROMPT)), (decode, 3, 3)):
        assert ops["qkv"].calls == ops["attention"].calls == passes * spec.n_layers
        assert ops["qkv"].int8_macs == rows * spec.n_layers * (d + 2 * kv) * d
        assert ops["gate_up"].int8_macs == rows * spec.n_layers * 2 * spec.ffn_size * d
        assert ops["down"].int8_macs == rows * spec.n_layers * spec.ffn_size * d
        assert ops["head"].int8_macs == passes * spec.vocab_size * d  # the last row alone
        assert ops["qkv"].bytes >= passes * spec.n_layers * (d + 2 * kv) * d
        assert ops["sampling"].calls == passes
    # Each query sees itself and what is before it, with key and with value.
    pairs = sum(range(1, len(PROMPT) + 1))
    assert prefill["attention"].float_macs == 2 * pairs * spec.n_layers * spec.n_heads * spec.head_dim
    # 2 bytes an element of k and of v
    assert prefill["attention"].bytes == len(PROMPT) * spec.n_layers * kv * 2 * 2


def test_ops_add_up_to_less_than_the_clock_shows(llm: LLM) -> None:
    timings = llm.generate(PROMPT, max_tokens=6, ignore_eos=True, profile=True).timings
    for ops, seconds in ((timings.prefill_ops, timings.prefill_s), (timings.decode_ops, timings.decode_s)):
        assert 0 < sum(op.seconds for op in ops) <= seconds
        assert all(0 <= op.waiting_s <= op.seconds for op in ops)
    if llm.n_threads == 1:
        assert sum(op.waiting_s for op in timings.decode_ops) == 0


def test_a_batch_shares_its_passes(llm: LLM) -> None:
    two = llm.generate([PROMPT, PROMPT[:2]], max_tokens=3, ignore_eos=True, profile=True)
    assert two[0].timings.decode_ops == two[1].timings.decode_ops
    spec = llm._engine.model.spec
    assert by_name(two[0].timings.decode_ops)["head"].int8_macs == 2 * 2 * spec.vocab_size * spec.hidden_size


def test_chat_and_stream_take_profile_and_single_tokens_do_not(llm: LLM) -> None:
    stream = llm.stream(PROMPT, max_tokens=2, ignore_eos=True, profile=True)
    list(stream)
    assert stream.completion.timings.decode_ops
    with pytest.raises(ValueError, match="profile"):
        llm.predict_next_token(PROMPT, profile=True)
    with pytest.raises(ValueError, match="profile"):
        llm.explain(PROMPT, profile=True)


def test_a_pass_that_fails_counts_for_nothing(llm: LLM) -> None:
    profile = _native.Profile()
    cache = _native.Cache(llm._engine.model, "f16", 4)
    with pytest.raises(ValueError, match="context"):
        _native.append(llm._engine.model, [cache], [PROMPT], "none", profile=profile)
    assert profile.prefill() == {"passes": 0, "rows": 0, "ops": []}


def test_the_machine_has_limits() -> None:
    for isa in _native.kernels.isas():
        assert all(limit > 0 for limit in _native.machine_limits(1, isa))
    with pytest.raises(ValueError, match="n_threads"):
        _native.machine_limits(0)


def test_every_case_is_measured_or_said_to_be_left_out(llm: LLM) -> None:
    seen: list[profiling.Case] = []
    spec = llm._engine.model.spec
    room = 3 * spec.kv_bytes("f16", 512 + profiling.PREFILL_TOKENS)
    result = profiling.run(
        llm, batches=[1, 3], depths=[0, 70, llm.n_ctx + 1], memory=room, on_case=seen.append
    )
    assert list(result.cases) == seen
    assert {(c.phase, c.batch, c.depth) for c in seen} == {
        (phase, batch, depth) for phase in ("prefill", "decode") for batch in (1, 3) for depth in (0, 70)
    }
    assert result.left_out == (f"depth {llm.n_ctx + 1}: the context is {llm.n_ctx}",)
    figures = result.to_dict()
    case = next(c for c in figures["cases"] if (c["phase"], c["batch"], c["depth"]) == ("decode", 3, 70))
    attention = next(op for op in case["ops"] if op["name"] == "attention")
    # Three sequences; the median pass stands one to MAX_PASSES tokens behind the depth.
    per_token = spec.n_layers * spec.n_kv_heads * spec.head_dim * 2 * 2
    assert 3 * 71 * per_token <= attention["bytes"] <= 3 * (71 + profiling.MAX_PASSES) * per_token
    assert attention["share_of_limit"] > 0


def test_caches_that_do_not_fit_are_left_out(llm: LLM) -> None:
    result = profiling.run(llm, batches=[1], depths=[0], memory=10)
    assert result.cases == ()
    assert "batch 1 at depth 0" in result.left_out[0]
    with pytest.raises(ValueError, match="batch"):
        profiling.run(llm, batches=[0])


def test_the_roofline_is_a_picture(llm: LLM, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = profiling.run(llm, batches=[1], depths=[0])
    result.write_png(tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")
