"""Samples of several engines become medians, ratios, a table, and a JSON file that grows row by row."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.peers.rows import Row

OURS = "nextoken"


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float]) -> str:
    """Median (lowest-highest), with three figures or so."""
    middle = median(values)
    digits = 0 if middle >= 1000 else 1 if middle >= 10 else 2 if middle >= 1 else 3
    return f"{middle:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratios(result: dict[str, Any], peer: str) -> list[float]:
    """How far nextoken is ahead of a peer, round by round: above 1 is ahead, for seconds and MiB too."""
    ours, theirs = result["samples"][OURS], result["samples"][peer]
    pairs = zip(ours, theirs, strict=False)
    if Row.parse(result["row"]).less_is_better:
        return [b / a for a, b in pairs]
    return [a / b for a, b in pairs]


def best_peer(result: dict[str, Any]) -> str | None:
    """The peer that nextoken is least ahead of."""
    peers: list[str] = [name for name in result["samples"] if name != OURS]
    if OURS not in result["samples"] or not peers:
        return None
    return min(peers, key=lambda name: median(ratios(result, name)))


def limit_ratio(result: dict[str, Any], engine: str = OURS) -> float | None:
    """Share of what the machine allowed in the same round, the median; None where no limit is known."""
    if not result.get("limit") or engine not in result["samples"]:
        return None
    return median(
        [rate / limit for rate, limit in zip(result["samples"][engine], result["limit"], strict=True)]
    )


def table(results: Iterable[dict[str, Any]]) -> str:
    """Markdown, one table a model and number of threads; every row, lost ones in bold."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["model"], result["threads"]), []).append(result)
    return "\n\n".join(_group(model, threads, rows) for (model, threads), rows in sorted(groups.items()))


def _group(model: str, threads: int, results: list[dict[str, Any]]) -> str:
    engines = list(dict.fromkeys(name for result in results for name in result["samples"]))
    engines.sort(key=lambda name: name != OURS)  # ours first, peers as they came
    heading = f"{model}, {threads} thread{'s' if threads > 1 else ''}"
    lines = [f"| {heading} | " + " | ".join(engines) + " | ratio to the best peer | of the limit |"]
    lines.append("|---" * (len(engines) + 3) + "|")
    for result in results:
        samples = result["samples"]
        cells = [spread(samples[name]) if name in samples else "" for name in engines]
        peer, share, ratio = best_peer(result), limit_ratio(result), ""
        if peer is not None:
            values = ratios(result, peer)
            ratio = f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f}) {peer}"
            if median(values) < 1:
                ratio = f"**{ratio}**"
        limit = f"{share:.0%} of {median(result['limit']):.0f}" if share is not None else ""
        lines.append(" | ".join([f"| {Row.parse(result['row']).title}", *cells, ratio, limit]) + " |")
    return "\n".join(lines)


def merge(path: Path, machine: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Adds results to the report at `path`: a row measured anew replaces the old one, engines not run stay.

    Samples of other rounds are never mixed into one ratio: a row with a new measurement keeps no old engine.
    """
    report: dict[str, Any] = {"results": []}
    if path.exists():
        report = json.loads(path.read_text())
        if report.get("machine", {}).get("cpu") not in (None, machine["cpu"]):
            raise ValueError(f"{path} is of another machine, {report['machine']['cpu']}")
    new = {_key(result) for result in results}
    report["machine"] = machine
    report["results"] = [r for r in report["results"] if _key(r) not in new] + results
    path.write_text(json.dumps(report, indent=1) + "\n")
    return report


def _key(result: dict[str, Any]) -> tuple[str, str, int]:
    return result["model"], result["row"], result["threads"]
