"""Models on a card: the logits of the CPU, bit for bit, however they are computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, SamplingParams, device
from nextoken.errors import ClosedError, NumericalError
from tests.cuda.conftest import Card
from tests.families import tiny
from tests.families.cases import CASES, IN_FOLDERS, write_file, write_folder
from tests.families.family import ids, weights
from tests.families.tiny import FAMILIES, write
from tests.reference import assert_same_bits

TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "F16", "F32")  # BF16: test_bf16.py


def logits(llm: LLM, chunks: list[int]) -> np.ndarray:
    """Of all positions, appended in chunks of these sizes."""
    session, tokens, rows = llm.session(), ids(), []
    for n in chunks:
        rows.append(session.append(tokens[:n], logits="all"))
        tokens = tokens[n:]
    return np.concatenate(rows)


def same_on_both(path: Path, chunks: list[int], **options: Any) -> None:
    with LLM(path, **options) as cpu, LLM(path, device="cuda", **options) as cuda:
        assert (cpu.device, cuda.device, cuda.isa) == ("cpu", "cuda", "cuda")
        assert_same_bits(logits(cuda, chunks), logits(cpu, [sum(chunks)]))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_gives_the_bits_of_the_cpu(tmp_path: Path, forwards: Card, name: str) -> None:
    same_on_both(write(tmp_path / "m.gguf", FAMILIES[name], "Q8_0"), [258, 1, 2])


@pytest.mark.parametrize("name", ["glm4-moe", "llama4"])
def test_mixtures_by_their_parts_give_the_bits_of_the_cpu(tmp_path: Path, forwards: Card, name: str) -> None:
    same_on_both(write_file(tmp_path / "m.gguf", CASES[name], "Q8_0"), [258, 1, 2])


@pytest.mark.parametrize("kv_dtype", ["f16", "q8"])
def test_rounded_distances_give_the_bits_of_the_cpu(tmp_path: Path, forwards: Card, kv_dtype: str) -> None:
    folder = write_folder(tmp_path / "hf", IN_FOLDERS["falcon-rw"])
    same_on_both(folder, [258, 1, 2], kv_dtype=kv_dtype, dtype="q8_0")


@pytest.mark.parametrize("weight_type", TYPES)
def test_every_type_gives_the_bits_of_the_cpu(tmp_path: Path, forwards: Card, weight_type: str) -> None:
    same_on_both(write(tmp_path / "m.gguf", FAMILIES["llama"], weight_type), [20, 1], kv_dtype="f32")


def test_threads_in_the_opposite_order_change_nothing(tmp_path: Path, card_as_cuda: Card) -> None:
    same_on_both(write(tmp_path / "m.gguf", FAMILIES["gemma2"], "Q4_1"), [61, 1])


def test_a_batch_of_sequences_gives_each_its_own_bits(tmp_path: Path, forwards: Card) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES["llama"], "Q8_0")
    tokens = ids()
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        sessions = [cuda.session() for _ in range(3)]
        parts = [tokens[:30], tokens[3:4], tokens[5:19]]
        together = cuda.append(sessions, parts)
        for part, row in zip(parts, together, strict=True):
            assert row is not None
            assert_same_bits(row, cpu.session().append(part))


def test_forks_rewinds_and_saved_sessions_keep_the_bits(tmp_path: Path, forwards: Card) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES["qwen3"], "Q8_0")
    tokens = ids()
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        expected = cpu.session().append(tokens[:50])
        session = cuda.session()
        session.append(tokens[:40], logits="none")
        fork = session.fork()
        fork.append(tokens[7:20], logits="none")  # copies the block that both had
        session.append(tokens[7:20], logits="none")
        session.rewind(13)
        session.save(tmp_path / "s")
        assert_same_bits(session.append(tokens[40:50]), expected)
        assert_same_bits(cpu.session(tmp_path / "s").append(tokens[40:50]), expected)
        assert_same_bits(cuda.session(tmp_path / "s").append(tokens[40:50]), expected)


def test_the_text_is_that_of_the_cpu(tmp_path: Path, forwards: Card) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES["llama"], "Q8_0")
    params = SamplingParams(temperature=1.0, seed=4, max_tokens=8)
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        prompt = ids(12)
        assert cuda.generate(prompt, params).token_ids == cpu.generate(prompt, params).token_ids


def test_a_pass_that_fails_leaves_the_card_well(
    tmp_path: Path, forwards: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = weights(FAMILIES["llama"])
    embedding = next(key for key in spoilt if "embed_tokens" in key)
    spoilt[embedding][5] = np.inf
    monkeypatch.setattr(tiny, "weights", lambda family: spoilt)
    path = write(tmp_path / "m.gguf", FAMILIES["llama"], "F32")
    with LLM(path, device="cuda", check=False) as llm:
        session = llm.session()
        before = session.append([1, 2, 3])
        with pytest.raises(NumericalError):
            session.append([5])
        assert len(session) == 3
        session.rewind(3)
        assert_same_bits(session.append([1, 2, 3]), before)
    with pytest.raises(ClosedError):
        session.append([1])


@pytest.mark.parametrize("name", ["gemma2", "qwen3", "mistral"])
def test_an_int8_cache_gives_the_bits_of_the_cpu(tmp_path: Path, card_as_cuda: Card, name: str) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES[name], "Q8_0")
    same_on_both(path, [60, 1] if name == "gemma2" else [259, 1, 2], kv_dtype="q8")


def test_a_model_larger_than_the_card_is_a_memory_error_with_the_bytes(
    tmp_path: Path, host: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES["llama"], "F32")
    small = host.open(64 << 10)
    monkeypatch.setattr(device, "open_card", lambda: small)
    with pytest.raises(MemoryError, match=r"\d+ bytes needed, 65536 of 65536 free"):
        LLM(path, device="cuda")
    with caplog.at_level("INFO", "nextoken"), LLM(path, device="auto") as llm:
        assert llm.device == "cpu"
    assert "65536 free" in caplog.text
