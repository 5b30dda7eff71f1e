"""Medians, ratios, the table, the growing report, and the check against committed shares: no engine, no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.peers.check import losses, shares
from bench.peers.report import best_peer, limit_ratio, merge, ratios, table


def result(row: str = "decode:128", model: str = "m", **samples: list[float]) -> dict[str, Any]:
    limit = [400.0] * max(map(len, samples.values()))
    return {"model": model, "row": row, "threads": 2, "samples": samples, "limit": limit}


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratios(result(nextoken=[200, 300], a=[100, 100]), "a") == [2, 3]


def test_of_seconds_and_memory_less_is_ahead() -> None:
    assert ratios(result("first:31", nextoken=[0.5], a=[1.0]), "a") == [2]
    assert ratios(result("memory:31", nextoken=[100], a=[50]), "a") == [0.5]


def test_the_best_peer_is_the_one_that_is_hardest_to_beat() -> None:
    assert best_peer(result(nextoken=[200], slow=[50], fast=[150])) == "fast"
    assert best_peer(result("first:31", nextoken=[2.0], slow=[9.0], fast=[3.0])) == "fast"
    assert best_peer(result(nextoken=[200])) is None
    assert best_peer(result(a=[200])) is None


def test_a_share_of_the_limit_is_taken_round_by_round() -> None:
    assert limit_ratio(result(nextoken=[100, 200, 390])) == 0.5
    assert limit_ratio(result(nextoken=[100, 100, 100]) | {"limit": [100, 200, 400]}) == 0.5
    start = result("first:31", nextoken=[100])
    del start["limit"]
    assert limit_ratio(start) is None
    assert limit_ratio(result(a=[100])) is None


def test_the_table_has_every_row_and_marks_the_lost_ones() -> None:
    text = table([result(nextoken=[200], a=[100]), result("prefill:512", nextoken=[100], a=[125])])
    heading, rule, won, lost = text.splitlines()
    assert heading == "| m, 2 threads | nextoken | a | ratio to the best peer | of the limit |"
    assert rule == "|---|---|---|---|---|"
    assert (
        won == "| decode 128 | 200.0 (200.0-200.0) | 100.0 (100.0-100.0) | 2.00 (2.00-2.00) a | 50% of 400 |"
    )
    assert "**0.80 (0.80-0.80) a**" in lost


def test_an_engine_that_can_not_run_a_row_leaves_its_cell_empty() -> None:
    text = table([result(nextoken=[200], a=[100]), result("ragged:8x8", nextoken=[100])])
    last = text.splitlines()[-1]
    assert last == "| decode 8 ragged sequences together | 100.0 (100.0-100.0) |  |  | 25% of 400 |"


def test_models_and_threads_have_tables_of_their_own() -> None:
    one = result(nextoken=[1.0]) | {"threads": 1}
    tables = table([result(nextoken=[1.0]), one, result(model="n", nextoken=[1.0])]).split("\n\n")
    assert [t.split(" |")[0] for t in tables] == ["| m, 1 thread", "| m, 2 threads", "| n, 2 threads"]


def test_a_report_grows_row_by_row_and_a_new_measurement_replaces_the_old(tmp_path: Path) -> None:
    path, machine = tmp_path / "report.json", {"cpu": "a", "kind": "k"}
    merge(path, machine, [result(nextoken=[1.0], a=[1.0]), result("prefill:8", nextoken=[2.0])])
    merge(path, machine | {"commit": "new"}, [result(nextoken=[3.0])])
    report = json.loads(path.read_text())
    assert report["machine"]["commit"] == "new"
    found = {r["row"]: r["samples"] for r in report["results"]}
    assert found == {"prefill:8": {"nextoken": [2.0]}, "decode:128": {"nextoken": [3.0]}}


def test_a_report_is_of_one_machine(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    merge(path, {"cpu": "a"}, [result(nextoken=[1.0])])
    with pytest.raises(ValueError, match="another machine, a"):
        merge(path, {"cpu": "b"}, [result(nextoken=[1.0])])


def test_the_check_reports_losses_over_15_percent_worst_first() -> None:
    committed = {"a": 0.80, "b": 0.80, "c": 0.50, "d": 0.9}
    measured = {"a": 0.69, "b": 0.67, "c": 0.10, "new": 0.01}
    lost = losses(measured, committed)
    assert lost == ["c: 10% of the limit, committed 50%", "b: 67% of the limit, committed 80%"]


def test_shares_leave_out_what_has_no_limit() -> None:
    report = {"results": [result(nextoken=[100]), result("first:31", nextoken=[1.0]) | {"limit": []}]}
    assert shares(report) == {"m, decode:128, 2": 0.25}
