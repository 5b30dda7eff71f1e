"""Rows as text, and the least time that bytes and multiply-adds allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models import SHAPES, write_random
from bench.peers.rows import Facts, Row, least_seconds
from nextoken import LLM

LIMITS = {"read": 10.0, "int8": {"avx2": 100.0, "avx512": 200.0}, "float": {"avx2": 50.0}}
FACTS = Facts(
    file_bytes=10**9, weight_bytes=10**9, body_int8=10**9, body_float=0, head_int8=10**8, head_float=0,
    heads=4, kv_heads=2, head_dim=8, windows=(None, 16),
)  # fmt: skip


@pytest.mark.parametrize("text", ["decode:128", "decode:64@2048", "prefill:512", "ragged:32x8", "first:31"])
def test_a_row_and_its_text_are_one(text: str) -> None:
    assert str(Row.parse(text)) == text


@pytest.mark.parametrize("text", ["decode", "sing:3", "", "decode:"])
def test_what_is_no_row_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no row"):
        Row.parse(text)


def test_keys_beyond_a_sliding_window_are_not_read() -> None:
    assert FACTS.keys_read(0) == 2
    assert FACTS.keys_read(99) == 100 + 16


def test_decoding_is_bound_by_reading_weights_once_a_token() -> None:
    keys = FACTS.keys_read(0) + FACTS.keys_read(1)
    seconds = (2 * 10**9 + keys * 2 * 8 * 4) / 10e9
    assert least_seconds(Row("decode", 2), FACTS, LIMITS) == pytest.approx(seconds)


def test_sequences_share_the_reading_of_a_pass() -> None:
    alone = least_seconds(Row("decode", 2), FACTS, LIMITS)
    together = least_seconds(Row("ragged", 2, sequences=8), FACTS, LIMITS)
    assert together == pytest.approx(alone, rel=1e-3)


def test_prefill_is_bound_by_multiplying_with_the_best_instructions() -> None:
    keys = sum(FACTS.keys_read(i) for i in range(512))
    seconds = (512 * 10**9 + 10**8) / 200e9 + keys * 4 * 8 * 2 / 50e9
    assert least_seconds(Row("prefill", 512), FACTS, LIMITS) == pytest.approx(seconds)


@pytest.mark.parametrize("mix", ["q4_k_m", "q6_k", "q8_0", "q4_0"])
def test_a_random_model_loads_and_its_logits_are_finite_and_no_two_alike(mix: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_random(path, SHAPES["tiny"], mix)
    with LLM(path, n_threads=1) as llm:
        logits = llm([[1, 2, 300]])[0, -1]
        assert 0.1 < logits.std() < 10
        assert llm.tokenizer.decode(llm.tokenizer.encode("abc, d")) == "abc, d"
    facts = Facts.of(path)
    shape = SHAPES["tiny"]
    per_layer = shape.hidden * (2 * shape.hidden + 2 * 128 + 3 * shape.ffn)
    assert facts.body_int8 == shape.layers * per_layer
    assert facts.head_int8 == shape.vocab * shape.hidden
    assert facts.weight_bytes < facts.file_bytes
    assert (facts.heads, facts.kv_heads, facts.head_dim) == (4, 2, 64)
