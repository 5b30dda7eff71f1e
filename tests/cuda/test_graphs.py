"""Steps that decode run as graphs: which are made anew, which get other arguments, and the bits, which stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nextoken import LLM, device
from tests.cuda.conftest import CARD_BYTES
from tests.families.family import N_LAYERS, ids
from tests.families.tiny import FAMILIES, write
from tests.reference import assert_same_bits


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def card(request: pytest.FixtureRequest, host: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    card = host.open(CARD_BYTES, request.param)
    monkeypatch.setattr(device, "open_card", lambda: card)
    return card


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "m.gguf", FAMILIES["llama"], "Q8_0")


def test_one_graph_serves_a_context_that_grows(host: Any, card: Any, path: Path) -> None:
    tokens = ids()[:264]
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        expected, session = cpu.session().append(tokens, logits="all"), cuda.session()
        session.append(tokens[:250], logits="none")
        assert host.graphs(card)["launches"] == 0  # of many tokens a sequence nothing is kept
        updates = []
        for i in range(250, 264):
            assert_same_bits(session.append([tokens[i]]), expected[i])
            updates.append(host.graphs(card)["updates"])
    assert host.graphs(card) == {"made": 1, "launches": 14, "updates": updates[-1]}
    # A second segment of keys from position 256 on is another grid in each layer; all else stands in the card's
    # memory, but for padding of arguments that happens to differ.
    assert updates[6] - updates[5] >= 2 * N_LAYERS
    assert updates[5] < 5 * N_LAYERS


def test_other_numbers_of_sequences_have_graphs_of_their_own(host: Any, card: Any, path: Path) -> None:
    tokens = ids()
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        sessions = [cuda.session() for _ in range(3)]
        for i, session in enumerate(sessions):
            session.append(tokens[i : i + 5], logits="none")
        for step, n in enumerate((1, 3, 1, 3, 2)):
            rows = cuda.append(sessions[:n], [tokens[20 + step : 21 + step]] * n)
            for session, row in zip(sessions, rows, strict=False):
                assert row is not None
                assert_same_bits(row, cpu.session().append(session.token_ids))
    found = host.graphs(card)
    assert found["launches"] == 5
    assert 2 <= found["made"] <= 3


def test_a_step_that_failed_leaves_nothing_behind(host: Any, card: Any, path: Path) -> None:
    class Cancel:
        def is_set(self) -> bool:
            return True

    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        session = cuda.session()
        session.append([1, 2, 3], logits="none")
        with pytest.raises(Exception, match="cancel"):
            session.append([4], cancel=Cancel())
        assert len(session) == 3
        assert_same_bits(session.append([5]), cpu.session().append([1, 2, 3, 5]))


def test_without_graphs_kernels_are_launched_one_by_one_and_the_log_says_so(
    host: Any, card: Any, path: Path
) -> None:
    heard: list[str] = []
    host.listen(card, heard.append)
    host.refuse_graphs(card)
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        session = cuda.session()
        for i in (1, 2, 3):
            found = session.append([i])
        assert_same_bits(found, cpu.session().append([1, 2, 3]))
    assert len(heard) == 1
    assert "one by one" in heard[0]
    assert host.graphs(card)["launches"] == 0


def test_a_profiled_step_has_no_graph_and_chooses_the_same(host: Any, card: Any, path: Path) -> None:
    with LLM(path, device="cuda") as llm:
        plain = llm.generate([1, 2, 3], max_tokens=4, ignore_eos=True)
        launches = host.graphs(card)["launches"]
        profiled = llm.generate([1, 2, 3], max_tokens=4, ignore_eos=True, profile=True)
    assert launches > 0
    assert host.graphs(card)["launches"] == launches
    assert profiled.token_ids == plain.token_ids
    ops = {op.name: op for op in profiled.timings.decode_ops}
    assert {"norm", "qkv", "attention", "gate_up", "down", "head", "sampling"} <= set(ops)


@pytest.mark.parametrize("name", ["mixtral", "qwen2moe", "gpt-oss"])
def test_a_mixture_of_experts_is_one_graph_and_reads_nothing_back_within_a_step(
    host: Any, card: Any, tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES[name], "Q8_0")
    tokens = ids()[:12]
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        expected, session = cpu.session().append(tokens, logits="all"), cuda.session()
        session.append(tokens[:2], logits="none")  # what steps need is allocated
        copies = []
        for i in range(2, len(tokens)):
            before = host.downloads(card)[0]
            assert_same_bits(session.append([tokens[i]]), expected[i])
            copies.append(host.downloads(card)[0] - before)
        assert host.graphs(card)["made"] == 1  # which experts are taken is no argument of any launch
        assert host.graphs(card)["launches"] == len(tokens) - 2
        before = host.downloads(card)[0]
        cuda.session().append(tokens, logits="none")
        assert host.downloads(card)[0] - before == 1  # nor does a prompt wait: the flag of failures alone
    assert set(copies) == {copies[0]}
    assert copies[0] <= 2


def test_mixtures_in_a_batch_share_graphs_and_keep_their_bits(host: Any, card: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", FAMILIES["qwen3moe"], "Q8_0")
    tokens = ids()
    with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
        sessions = [cuda.session() for _ in range(3)]
        for i, session in enumerate(sessions):
            session.append(tokens[i : i + 4], logits="none")
        for step in range(3):
            rows = cuda.append(sessions, [tokens[20 + 3 * step + i :][:1] for i in range(3)])
            for session, row in zip(sessions, rows, strict=True):
                assert row is not None
                assert_same_bits(row, cpu.session().append(session.token_ids))
    assert host.graphs(card)["launches"] == 3
    assert host.graphs(card)["made"] == 1
